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

/* -- hardening.c ------------------------------------------------------------ */

int tl_make_undumpable(void);
int tl_is_dumpable(void);

#endif
