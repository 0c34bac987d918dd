"""libcryptsetup, opened when it is first needed, with its messages caught.

The declarations are those of ``libcryptsetup.h`` (version 2.4 or newer, for
``crypt_dump_json``), as far as they are used.
"""

import threading
from functools import cache
from typing import Any

from cffi import FFI

from twinlock.errors import LibraryMissing

SONAME = "libcryptsetup.so.12"

ffi = FFI()
ffi.cdef("""
    struct crypt_device;
    struct crypt_pbkdf_type {
        const char *type;
        const char *hash;
        uint32_t time_ms;
        uint32_t iterations;
        uint32_t max_memory_kb;
        uint32_t parallel_threads;
        uint32_t flags;
    };
    struct crypt_params_luks2 {
        const struct crypt_pbkdf_type *pbkdf;
        const char *integrity;
        const void *integrity_params;
        size_t data_alignment;
        const char *data_device;
        uint32_t sector_size;
        const char *label;
        const char *subsystem;
    };

    void crypt_set_log_callback(struct crypt_device *cd, void (*log)(int, const char *, void *),
                                void *usrptr);
    int crypt_init(struct crypt_device **cd, const char *device);
    void crypt_free(struct crypt_device *cd);
    int crypt_load(struct crypt_device *cd, const char *requested_type, void *params);
    int crypt_volume_key_keyring(struct crypt_device *cd, int enable);

    int crypt_set_data_offset(struct crypt_device *cd, uint64_t data_offset);
    void crypt_set_iteration_time(struct crypt_device *cd, uint64_t iteration_time_ms);
    int crypt_set_pbkdf_type(struct crypt_device *cd, const struct crypt_pbkdf_type *pbkdf);
    const struct crypt_pbkdf_type *crypt_get_pbkdf_default(const char *type);
    int crypt_format(struct crypt_device *cd, const char *type, const char *cipher, const char *cipher_mode,
                     const char *uuid, const char *volume_key, size_t volume_key_size, void *params);
    int crypt_keyslot_add_by_volume_key(struct crypt_device *cd, int keyslot, const char *volume_key,
                                        size_t volume_key_size, const char *passphrase,
                                        size_t passphrase_size);
    int crypt_keyslot_change_by_passphrase(struct crypt_device *cd, int keyslot_old, int keyslot_new,
                                           const char *passphrase, size_t passphrase_size,
                                           const char *new_passphrase, size_t new_passphrase_size);
    int crypt_keyslot_destroy(struct crypt_device *cd, int keyslot);
    int crypt_keyslot_status(struct crypt_device *cd, int keyslot);
    int crypt_keyslot_get_priority(struct crypt_device *cd, int keyslot);
    int crypt_keyslot_max(const char *type);
    int crypt_keyslot_get_pbkdf(struct crypt_device *cd, int keyslot, struct crypt_pbkdf_type *pbkdf);
    int crypt_activate_by_passphrase(struct crypt_device *cd, const char *name, int keyslot,
                                     const char *passphrase, size_t passphrase_size, uint32_t flags);
    int crypt_volume_key_get(struct crypt_device *cd, int keyslot, char *volume_key, size_t *volume_key_size,
                             const char *passphrase, size_t passphrase_size);

    const char *crypt_get_type(struct crypt_device *cd);
    const char *crypt_get_cipher(struct crypt_device *cd);
    const char *crypt_get_cipher_mode(struct crypt_device *cd);
    const char *crypt_get_uuid(struct crypt_device *cd);
    uint64_t crypt_get_data_offset(struct crypt_device *cd);
    int crypt_get_volume_key_size(struct crypt_device *cd);
    int crypt_get_metadata_size(struct crypt_device *cd, uint64_t *metadata_size, uint64_t *keyslots_size);
    int crypt_dump_json(struct crypt_device *cd, const char **json, uint32_t flags);
    int crypt_token_json_set(struct crypt_device *cd, int token, const char *json);
""")

CRYPT_ANY = -1
"""Any keyslot, or any token (``CRYPT_ANY_SLOT``, ``CRYPT_ANY_TOKEN``)."""
CRYPT_PBKDF_NO_BENCHMARK = 1 << 1
CRYPT_SLOT_PRIORITY_IGNORE, CRYPT_SLOT_PRIORITY_NORMAL, CRYPT_SLOT_PRIORITY_PREFER = range(3)
CRYPT_SLOT_ACTIVE, CRYPT_SLOT_ACTIVE_LAST, CRYPT_SLOT_UNBOUND = 2, 3, 4
_CRYPT_LOG_ERROR = 1

_said = threading.local()


def text(pointer: Any) -> str:
    """A C string as a Python string."""
    found = ffi.string(pointer)
    return found.decode(errors="replace") if isinstance(found, bytes) else found


@ffi.callback("void(int, const char *, void *)")
def _listen(level: int, message: Any, _: Any) -> None:
    if level == _CRYPT_LOG_ERROR:
        _said.last = text(message).strip()


def take_message() -> str:
    """The last error libcryptsetup reported in this thread since the last call of this function, or ""."""
    message = getattr(_said, "last", "")
    _said.last = ""
    return str(message)


@cache
def load(soname: str = SONAME) -> Any:
    """The library, as an object with its functions.  Raises :class:`LibraryMissing`."""
    try:
        library: Any = ffi.dlopen(soname)
    except OSError as error:
        raise LibraryMissing(library=f"libcryptsetup ({soname})", package="libcryptsetup12") from error
    library.crypt_set_log_callback(ffi.NULL, _listen, ffi.NULL)
    return library
