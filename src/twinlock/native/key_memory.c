/* Memory for keys: whole pages of their own, so that locking one key never depends on a neighbour. */

#include "twinlock_native.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <sys/mman.h>

static int protect(void *memory, size_t size)
{
    if (mlock(memory, size) != 0)
        return 0;
    if (madvise(memory, size, MADV_DONTDUMP) != 0)
        return 0;
    /* Locks are not inherited by fork: a child must not hold a copy that can be swapped out. */
    return madvise(memory, size, MADV_WIPEONFORK) == 0;
}

void *tl_key_memory_new(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    if (!protect(memory, size)) {
        int reason = errno;
        munmap(memory, size);
        errno = reason;
        return NULL;
    }
    return memory;
}

void tl_key_memory_free(void *memory, size_t size)
{
    OPENSSL_cleanse(memory, size);
    munmap(memory, size); /* unlocks as well */
}
