"""How the compiled module ``twinlock.native._native`` is made (cffi, API mode)."""

from pathlib import Path

from cffi import FFI

_HERE = Path(__file__).parent

ffibuilder = FFI()
ffibuilder.cdef("""
    void *tl_key_memory_new(size_t size);
    void tl_key_memory_free(void *memory, size_t size);

    typedef struct tl_cipher tl_cipher;
    enum tl_mode { TL_XTS_PLAIN64, TL_CBC_ESSIV_SHA256, ... };
    enum tl_direction { TL_DECRYPT, TL_ENCRYPT, ... };
    tl_cipher *tl_cipher_new(int mode, const uint8_t *key, size_t key_size, size_t sector_size);
    void tl_cipher_free(tl_cipher *cipher);
    int tl_cipher_run(tl_cipher *cipher, int direction, const uint8_t *in, uint8_t *out, size_t length,
                      uint64_t sector512);
    void tl_last_error(char *text, size_t size);

    enum tl_crc_way { TL_CRC_TABLES, TL_CRC_INSTRUCTION, ... };
    int tl_crc_best(void);
    void tl_crc_blocks(int way, const uint8_t *data, size_t length, uint8_t *entries);
    size_t tl_crc_verify(int way, const uint8_t *data, size_t length, const uint8_t *entries);

    int tl_make_undumpable(void);
    int tl_is_dumpable(void);
""")
ffibuilder.set_source(
    "twinlock.native._native",
    '#include "twinlock_native.h"',
    sources=[str(_HERE / name) for name in ("crc32c.c", "hardening.c", "key_memory.c", "sector_cipher.c")],
    depends=[str(_HERE / "twinlock_native.h")],
    include_dirs=[str(_HERE)],
    libraries=["crypto", "pthread"],
    extra_compile_args=["-O2", "-std=gnu11", "-Wall", "-Wextra", "-fstack-protector-strong"],
)
