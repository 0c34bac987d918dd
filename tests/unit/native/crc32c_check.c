/* CRC32C of blocks by every way that the processor has, against published values and a bit at a time.
 *
 * For processors other than the one that runs the tests: see test_other_processors.py.
 */

#include "twinlock_native.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 4096, LARGEST = 4 * BLOCK, ROUNDS = 200 };

static int wrong;

static uint32_t bit_by_bit(const uint8_t *at, size_t length)
{
    uint32_t crc = 0xFFFFFFFFu;
    while (length-- > 0) {
        crc ^= *at++;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0);
    }
    return ~crc;
}

static uint32_t entry_at(const uint8_t *entries, size_t number)
{
    const uint8_t *at = entries + 4 * number;
    return at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24;
}

static void expect(int is_right, const char *what, int way)
{
    if (!is_right) {
        wrong++;
        printf("%s, way %d\n", what, way);
    }
}

/* RFC 3720, B.4: 32 bytes of zeros, of ones, and going up. */
static void check_published(int way)
{
    static const uint32_t values[] = {0x8A9136AAu, 0x62A8AB43u, 0x46DD794Eu};
    uint8_t data[3][32], entries[4];
    for (int i = 0; i < 32; i++) {
        data[0][i] = 0;
        data[1][i] = 0xFF;
        data[2][i] = (uint8_t)i;
    }
    for (int i = 0; i < 3; i++) {
        tl_crc_blocks(way, data[i], sizeof data[i], entries);
        expect(entry_at(entries, 0) == values[i], "a published value", way);
    }
}

static void check_request(int way, uint8_t *data, size_t length)
{
    uint8_t entries[LARGEST / 1024];
    tl_crc_blocks(way, data, length, entries);
    for (size_t at = 0; at < length; at += BLOCK) {
        uint32_t crc = bit_by_bit(data + at, length - at < BLOCK ? length - at : BLOCK);
        expect(entry_at(entries, at / BLOCK) == (crc < TL_CRC_VALUES ? ~crc : crc), "a block", way);
    }
    expect(tl_crc_verify(way, data, length, entries) == length, "what is right", way);
    size_t flipped = (size_t)rand() % length, block = flipped / BLOCK;
    data[flipped] ^= (uint8_t)(1 << rand() % 8);
    expect(tl_crc_verify(way, data, length, entries) == block * BLOCK, "a flip", way);
    for (uint8_t none = TL_CRC_EMPTY; none < TL_CRC_VALUES; none++) {
        memset(entries + 4 * block, 0, 4);
        entries[4 * block] = none;
        expect(tl_crc_verify(way, data, length, entries) == length, "what is no checksum", way);
    }
}

int main(void)
{
    static uint8_t data[LARGEST];
    int ways[] = {TL_CRC_TABLES, tl_crc_best()};
    for (int way = 0; way < 2; way++) {
        check_published(ways[way]);
        for (int round = 0; round < ROUNDS; round++) {
            size_t length = 1 + (size_t)rand() % LARGEST;
            if (round % 3 == 0)
                length = (length + BLOCK - 1) / BLOCK * BLOCK;
            for (size_t i = 0; i < length; i++)
                data[i] = (uint8_t)rand();
            check_request(ways[way], data, length);
        }
    }
    printf("%s, %d wrong\n", ways[1] == TL_CRC_INSTRUCTION ? "instruction" : "tables", wrong);
    return wrong != 0;
}
