"""XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) of libsodium, in buffers that are used again.

PyNaCl's function for it copies each text twice and checks each argument by itself: some four
microseconds, which is what a chunk of a small file costs to encrypt at all. This calls the same
function of libsodium, through the module that PyNaCl's own functions call it through.
"""

from __future__ import annotations

from typing import Any

from nacl._sodium import ffi, lib

KEY_BYTES = 32
NONCE_BYTES = 24
TAG_BYTES = 16

_encrypt = lib.crypto_aead_xchacha20poly1305_ietf_encrypt
_decrypt = lib.crypto_aead_xchacha20poly1305_ietf_decrypt
_allocate = ffi.new_allocator(should_clear_after_alloc=False)


class Cipher:
    """One key and two buffers for texts of at most `size_max` bytes. Not for two threads at a time.

    What `encrypt` and `decrypt` return is a view that is good until they are called again.
    """

    __slots__ = ("_key", "_plain", "_plain_view", "_sealed", "_sealed_view", "_size_max")

    def __init__(self, key: bytes, size_max: int) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
        self._key, self._size_max = key, size_max
        self._plain = _allocate("unsigned char[]", size_max)
        self._sealed = _allocate("unsigned char[]", size_max + TAG_BYTES)
        self._plain_view = memoryview(ffi.buffer(self._plain))
        self._sealed_view = memoryview(ffi.buffer(self._sealed))

    def encrypt(self, plaintext: bytes, associated: bytes, nonce: bytes) -> memoryview:
        """The ciphertext and its tag."""
        size = len(plaintext)
        if size > self._size_max or len(nonce) != NONCE_BYTES:
            raise ValueError(f"{size} bytes under a nonce of {len(nonce)}")
        none = ffi.NULL
        _encrypt(
            *(self._sealed, none, plaintext, size),
            *(associated, len(associated), none, nonce, self._key),
        )
        return self._sealed_view[: size + TAG_BYTES]

    def decrypt_again(self, size: int, associated: bytes, nonce: bytes) -> memoryview | None:
        """What `encrypt` has just made of `size` bytes; None when it is not authentic."""
        return self._decrypted(self._sealed, size + TAG_BYTES, associated, nonce)

    def decrypt(
        self, sealed: bytes, offset: int, associated: bytes, nonce: bytes
    ) -> memoryview | None:
        """The plaintext of `sealed` from `offset` on; None when it is not authentic."""
        size = len(sealed) - offset
        if not TAG_BYTES <= size <= self._size_max + TAG_BYTES or len(nonce) != NONCE_BYTES:
            raise ValueError(f"{size} bytes under a nonce of {len(nonce)}")
        return self._decrypted(ffi.from_buffer(sealed) + offset, size, associated, nonce)

    def _decrypted(
        self,
        sealed: Any,  # noqa: ANN401 - a pointer
        size: int,
        associated: bytes,
        nonce: bytes,
    ) -> memoryview | None:
        none = ffi.NULL
        refused = _decrypt(
            *(self._plain, none, none, sealed, size),
            *(associated, len(associated), nonce, self._key),
        )
        return None if refused else self._plain_view[: size - TAG_BYTES]
