/* Sector encryption as dm-crypt does it, over OpenSSL's EVP.
 *
 * Each sector is encrypted on its own under an initialisation vector made of
 * its number, which counts 512-byte sectors whatever the sector size (dm-crypt
 * without iv_large_sectors):
 *
 *   plain64        the number, 64 bits, little-endian, padded with zeros
 *   essiv:sha256   that block, encrypted with AES-256 under SHA-256(volume key)
 *
 * An EVP context serves one thread at a time, and making one means expanding
 * the key.  So every thread in a call takes a "lane" from a free-list; lanes
 * are copies of a template, and come back to the list.  There are never more
 * lanes than there were threads inside at once.
 */

#include "twinlock_native.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 16
#define IV_UNIT 512
#define DIGEST 32

typedef struct lane {
    EVP_CIPHER_CTX *data;
    EVP_CIPHER_CTX *essiv; /* NULL for plain64 */
    struct lane *next;
} lane;

struct tl_cipher {
    size_t sector_size;
    lane *templates[2]; /* by direction; only ever copied from */
    lane *idle[2];
    pthread_mutex_t lock; /* of idle */
};

/* -- lanes ------------------------------------------------------------------- */

static void lane_free(lane *it)
{
    if (it == NULL)
        return;
    EVP_CIPHER_CTX_free(it->data); /* wipes the expanded key */
    EVP_CIPHER_CTX_free(it->essiv);
    free(it);
}

static void lanes_free(lane *it)
{
    while (it != NULL) {
        lane *next = it->next;
        lane_free(it);
        it = next;
    }
}

static EVP_CIPHER_CTX *keyed(const EVP_CIPHER *algorithm, const uint8_t *key, int direction)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (context != NULL && EVP_CipherInit_ex(context, algorithm, NULL, key, NULL, direction) == 1 &&
        EVP_CIPHER_CTX_set_padding(context, 0) == 1)
        return context;
    EVP_CIPHER_CTX_free(context);
    return NULL;
}

static EVP_CIPHER_CTX *copy(const EVP_CIPHER_CTX *of)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (context != NULL && EVP_CIPHER_CTX_copy(context, of) == 1)
        return context;
    EVP_CIPHER_CTX_free(context);
    return NULL;
}

static lane *lane_copy(const lane *of)
{
    lane *it = calloc(1, sizeof *it);
    if (it == NULL)
        return NULL;
    it->data = copy(of->data);
    it->essiv = of->essiv != NULL ? copy(of->essiv) : NULL;
    if (it->data != NULL && (of->essiv == NULL || it->essiv != NULL))
        return it;
    lane_free(it);
    return NULL;
}

static lane *lane_take(tl_cipher *cipher, int direction)
{
    pthread_mutex_lock(&cipher->lock);
    lane *it = cipher->idle[direction];
    if (it != NULL)
        cipher->idle[direction] = it->next;
    pthread_mutex_unlock(&cipher->lock);
    return it != NULL ? it : lane_copy(cipher->templates[direction]);
}

static void lane_give_back(tl_cipher *cipher, int direction, lane *it)
{
    pthread_mutex_lock(&cipher->lock);
    it->next = cipher->idle[direction];
    cipher->idle[direction] = it;
    pthread_mutex_unlock(&cipher->lock);
}

/* -- making a cipher ----------------------------------------------------------- */

static const EVP_CIPHER *algorithm_for(int mode, size_t key_size)
{
    if (mode == TL_XTS_PLAIN64)
        return key_size == 32 ? EVP_aes_128_xts() : key_size == 64 ? EVP_aes_256_xts() : NULL;
    if (mode == TL_CBC_ESSIV_SHA256)
        return key_size == 16 ? EVP_aes_128_cbc() : key_size == 32 ? EVP_aes_256_cbc() : NULL;
    return NULL;
}

static EVP_CIPHER_CTX *essiv_keyed(const uint8_t *key, size_t key_size)
{
    uint8_t salt[DIGEST];
    EVP_CIPHER_CTX *context = NULL;
    if (EVP_Digest(key, key_size, salt, NULL, EVP_sha256(), NULL) == 1)
        context = keyed(EVP_aes_256_ecb(), salt, TL_ENCRYPT);
    OPENSSL_cleanse(salt, sizeof salt);
    return context;
}

static lane *lane_new(int mode, const uint8_t *key, size_t key_size, int direction)
{
    const EVP_CIPHER *algorithm = algorithm_for(mode, key_size);
    lane *it = algorithm != NULL ? calloc(1, sizeof *it) : NULL;
    if (it == NULL)
        return NULL;
    it->data = keyed(algorithm, key, direction);
    it->essiv = mode == TL_CBC_ESSIV_SHA256 ? essiv_keyed(key, key_size) : NULL;
    if (it->data != NULL && (mode == TL_XTS_PLAIN64 || it->essiv != NULL))
        return it;
    lane_free(it);
    return NULL;
}

tl_cipher *tl_cipher_new(int mode, const uint8_t *key, size_t key_size, size_t sector_size)
{
    tl_cipher *cipher = sector_size >= BLOCK ? calloc(1, sizeof *cipher) : NULL;
    if (cipher == NULL)
        return NULL;
    pthread_mutex_init(&cipher->lock, NULL);
    cipher->sector_size = sector_size;
    cipher->templates[TL_DECRYPT] = lane_new(mode, key, key_size, TL_DECRYPT);
    cipher->templates[TL_ENCRYPT] = lane_new(mode, key, key_size, TL_ENCRYPT);
    if (cipher->templates[TL_DECRYPT] != NULL && cipher->templates[TL_ENCRYPT] != NULL)
        return cipher;
    tl_cipher_free(cipher);
    return NULL;
}

void tl_cipher_free(tl_cipher *cipher)
{
    for (int direction = TL_DECRYPT; direction <= TL_ENCRYPT; direction++) {
        lanes_free(cipher->templates[direction]);
        lanes_free(cipher->idle[direction]);
    }
    pthread_mutex_destroy(&cipher->lock);
    free(cipher);
}

/* -- sectors ------------------------------------------------------------------- */

static int initial_vector(const lane *it, uint64_t sector512, uint8_t iv[BLOCK])
{
    int written = 0;
    memset(iv, 0, BLOCK);
    for (int i = 0; i < 8; i++)
        iv[i] = (uint8_t)(sector512 >> (8 * i));
    return it->essiv == NULL || EVP_CipherUpdate(it->essiv, iv, &written, iv, BLOCK) == 1;
}

static int run_sector(const lane *it, const uint8_t *in, uint8_t *out, int size, uint64_t sector512)
{
    uint8_t iv[BLOCK];
    int written = 0;
    return initial_vector(it, sector512, iv) &&
           EVP_CipherInit_ex(it->data, NULL, NULL, NULL, iv, -1) == 1 &&
           EVP_CipherUpdate(it->data, out, &written, in, size) == 1 && written == size;
}

int tl_cipher_run(tl_cipher *cipher, int direction, const uint8_t *in, uint8_t *out, size_t length,
                  uint64_t sector512)
{
    const size_t size = cipher->sector_size;
    int good = size <= INT_MAX && length % size == 0;
    lane *it = good ? lane_take(cipher, direction) : NULL;
    if (it == NULL)
        return 0;
    for (size_t at = 0; good && at < length; at += size)
        good = run_sector(it, in + at, out + at, (int)size, sector512 + at / IV_UNIT);
    if (good)
        lane_give_back(cipher, direction, it);
    else
        lane_free(it);
    return good;
}

void tl_last_error(char *text, size_t size)
{
    unsigned long code = ERR_get_error();
    ERR_error_string_n(code, text, size);
    ERR_clear_error();
}
