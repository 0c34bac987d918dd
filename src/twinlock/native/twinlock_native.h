/* What must touch every byte, and what must hold a key.
 *
 * Everything here is called without Python's interpreter lock, from several
 * threads at once.  Functions that can fail return NULL or 0 and leave the
 * reason in errno or in OpenSSL's error queue.
 */
#ifndef TWINLOCK_NATIVE_H
#define TWINLOCK_NATIVE_H

#include <stddef.h>
#include <stdint.h>

/* -- key_memory.c: pages that reach neither swap nor core dump ------------- */

void *tl_key_memory_new(size_t size);
void tl_key_memory_free(void *memory, size_t size);

/* -- sector_cipher.c: dm-crypt's two ciphers, a whole request in one call -- */

typedef struct tl_cipher tl_cipher;

enum tl_mode { TL_XTS_PLAIN64, TL_CBC_ESSIV_SHA256 };
enum tl_direction { TL_DECRYPT, TL_ENCRYPT };

/* A cipher over sectors of sector_size bytes.  The key is not needed afterwards. */
tl_cipher *tl_cipher_new(int mode, const uint8_t *key, size_t key_size, size_t sector_size);
void tl_cipher_free(tl_cipher *cipher);

/* En- or decrypt length bytes (whole sectors) whose first lies at sector512, in units of 512 bytes. */
int tl_cipher_run(tl_cipher *cipher, int direction, const uint8_t *in, uint8_t *out, size_t length,
                  uint64_t sector512);

/* The oldest reason in this thread's OpenSSL error queue, which is emptied. */
void tl_last_error(char *text, size_t size);

/* -- crc32c.c: a checksum for each 4 KiB of a request, the last block may be short ---------------- */

enum tl_crc_way { TL_CRC_TABLES, TL_CRC_INSTRUCTION };
#define TL_CRC_EMPTY 0u /* never written, or discarded */
#define TL_CRC_UNKNOWN 1u /* of what is there no checksum is known */
#define TL_CRC_VALUES 2u /* from here on entries are checksums; a CRC below is kept as its complement */

/* The fastest way that this processor knows. */
int tl_crc_best(void);

/* The entries (4 bytes each, little-endian) of the blocks of length bytes of data. */
void tl_crc_blocks(int way, const uint8_t *data, size_t length, uint8_t *entries);

/* Where the first block begins that is not what its entry says; length if there is none.  What is no
 * checksum fits all. */
size_t tl_crc_verify(int way, const uint8_t *data, size_t length, const uint8_t *entries);

/* -- hardening.c ------------------------------------------------------------ */

int tl_make_undumpable(void);
int tl_is_dumpable(void);

#endif
