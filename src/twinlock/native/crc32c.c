/* CRC32C (Castagnoli, RFC 3720 appendix B.4) of the 4 KiB blocks of a whole request.
 *
 * The processor's instruction gives a result every cycle, three cycles after
 * it was asked.  So a block is cut into four lanes that run side by side; the
 * four results are joined by a table that says what 1 KiB of zeros makes of a
 * CRC.  Without the instruction: eight bytes at once by tables.
 *
 * Entries below TL_CRC_VALUES are no checksums: TL_CRC_EMPTY says that a block
 * holds nothing, TL_CRC_UNKNOWN that its checksum is not known.  A CRC that
 * comes out as one of them is stored as its complement.  Entries are
 * little-endian on disk.
 */

#include "twinlock_native.h"

#include <endian.h>
#include <pthread.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#define POLYNOMIAL 0x82F63B78u
#define LANES 4
#define LANE 1024
#define BLOCK (LANES * LANE)

static uint32_t by_byte[8][256]; /* [n][b]: the CRC of byte b followed by n zero bytes */
static uint32_t past_lane[4][256]; /* [n][b]: what LANE zero bytes make of a CRC whose byte n is b */
static pthread_once_t prepared = PTHREAD_ONCE_INIT;

static inline uint64_t load(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return le64toh(word);
}

/* -- by tables ----------------------------------------------------------------- */

static uint32_t tables_run(uint32_t crc, const uint8_t *at, size_t length)
{
    for (; length >= 8; at += 8, length -= 8) {
        uint64_t word = load(at) ^ crc;
        crc = 0;
        for (int i = 0; i < 8; i++)
            crc ^= by_byte[7 - i][(word >> (8 * i)) & 0xFF];
    }
    while (length-- > 0)
        crc = by_byte[0][(crc ^ *at++) & 0xFF] ^ (crc >> 8);
    return crc;
}

static uint32_t tables_block(const uint8_t *at)
{
    return tables_run(0xFFFFFFFFu, at, BLOCK);
}

/* -- by the processor's instruction --------------------------------------------- */

static inline uint32_t skip_lane(uint32_t crc)
{
    return past_lane[0][crc & 0xFF] ^ past_lane[1][(crc >> 8) & 0xFF] ^ past_lane[2][(crc >> 16) & 0xFF] ^
           past_lane[3][crc >> 24];
}

#if defined(__x86_64__)
#define HARDWARE __attribute__((target("sse4.2")))
#define STEP8(crc, word) ((uint32_t)_mm_crc32_u64((crc), (word)))
#define STEP1(crc, byte) _mm_crc32_u8((crc), (byte))

static int has_instruction(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_2) != 0;
}
#elif defined(__aarch64__)
#define HARDWARE __attribute__((target("+crc")))
#define STEP8(crc, word) __crc32cd((crc), (word))
#define STEP1(crc, byte) __crc32cb((crc), (byte))

static int has_instruction(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
}
#endif

#ifdef HARDWARE
HARDWARE static uint32_t hardware_run(uint32_t crc, const uint8_t *at, size_t length)
{
    for (; length >= 8; at += 8, length -= 8)
        crc = STEP8(crc, load(at));
    while (length-- > 0)
        crc = STEP1(crc, *at++);
    return crc;
}

HARDWARE static uint32_t hardware_block(const uint8_t *at)
{
    uint32_t a = 0xFFFFFFFFu, b = 0, c = 0, d = 0;
    for (const uint8_t *end = at + LANE; at < end; at += 8) {
        a = STEP8(a, load(at));
        b = STEP8(b, load(at + LANE));
        c = STEP8(c, load(at + 2 * LANE));
        d = STEP8(d, load(at + 3 * LANE));
    }
    return skip_lane(skip_lane(skip_lane(a) ^ b) ^ c) ^ d;
}
#else
static int has_instruction(void)
{
    return 0;
}
#define hardware_run tables_run
#define hardware_block tables_block
#endif

/* -- tables, made once ------------------------------------------------------------ */

static void prepare(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
        by_byte[0][byte] = crc;
    }
    for (int n = 1; n < 8; n++)
        for (int byte = 0; byte < 256; byte++)
            by_byte[n][byte] = by_byte[0][by_byte[n - 1][byte] & 0xFF] ^ (by_byte[n - 1][byte] >> 8);
    static const uint8_t zeros[LANE];
    for (int n = 0; n < 4; n++)
        for (uint32_t byte = 0; byte < 256; byte++)
            past_lane[n][byte] = tables_run(byte << (8 * n), zeros, LANE);
}

int tl_crc_best(void)
{
    return has_instruction() ? TL_CRC_INSTRUCTION : TL_CRC_TABLES;
}

/* -- blocks ----------------------------------------------------------------------- */

static uint32_t entry(int way, const uint8_t *at, size_t length)
{
    uint32_t crc;
    if (length == BLOCK)
        crc = way == TL_CRC_INSTRUCTION ? hardware_block(at) : tables_block(at);
    else
        crc = way == TL_CRC_INSTRUCTION ? hardware_run(0xFFFFFFFFu, at, length)
                                        : tables_run(0xFFFFFFFFu, at, length);
    crc = ~crc;
    return crc >= TL_CRC_VALUES ? crc : ~crc;
}

static size_t size_of(size_t start, size_t length)
{
    return length - start < BLOCK ? length - start : BLOCK;
}

void tl_crc_blocks(int way, const uint8_t *data, size_t length, uint8_t *entries)
{
    pthread_once(&prepared, prepare);
    for (size_t at = 0; at < length; at += BLOCK, entries += 4) {
        uint32_t value = htole32(entry(way, data + at, size_of(at, length)));
        memcpy(entries, &value, sizeof value);
    }
}

size_t tl_crc_verify(int way, const uint8_t *data, size_t length, const uint8_t *entries)
{
    pthread_once(&prepared, prepare);
    for (size_t at = 0; at < length; at += BLOCK, entries += 4) {
        uint32_t expected;
        memcpy(&expected, entries, sizeof expected);
        expected = le32toh(expected);
        if (expected >= TL_CRC_VALUES && expected != entry(way, data + at, size_of(at, length)))
            return at;
    }
    return length;
}
