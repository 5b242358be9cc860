"""Seal chunks so that only their owner can read them, and open them again.

A chunk's id is a keyed hash of its plaintext: the same piece always has the same id, and who
has no key learns nothing from it. The id is bound into the sealed chunk, so that one cannot be
put in the place of another, and is computed anew after opening. `Sealer.seal` opens what it has
just sealed and compares: a bad memory cell shows tonight and not on the day of the restore.

The nonces are the caller's: random, and never used twice.
"""

from __future__ import annotations

import zstandard
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt as _decrypt,
)
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_encrypt as _encrypt,
)
from nacl.exceptions import CryptoError

from chunking import formats, hashing
from chunking.aead import Cipher
from chunking.formats import ChunkId, FormatError
from chunking.keys import MemberKeys

_ZSTD_LEVEL = 3
_COMPRESS_FROM_BYTES = 64  # a zstd frame has a dozen bytes of its own
_PLAIN = bytes((formats.ALGORITHM_PLAIN,))
_ZSTD = bytes((formats.ALGORITHM_ZSTD,))
_CIPHERTEXT_AT = 1 + formats.NONCE_BYTES


def _padded(purpose: bytes) -> bytes:
    return purpose.ljust(formats.SEAL_PURPOSE_BYTES, b"\x00")


_CHUNK_PLAIN = _padded(formats.SEAL_CHUNK) + _PLAIN
_CHUNK_ZSTD = _padded(formats.SEAL_CHUNK) + _ZSTD


def seal_blob(key: bytes, purpose: bytes, binds: bytes, plaintext: bytes, nonce: bytes) -> bytes:
    """A sealed blob that opens only with the same key, purpose and bound bytes."""
    return b"".join(
        (_PLAIN, nonce, _encrypt(plaintext, _padded(purpose) + _PLAIN + binds, nonce, key))
    )


def open_blob(key: bytes, purpose: bytes, binds: bytes, sealed: bytes) -> bytes:
    """The plaintext of `seal_blob`."""
    if len(sealed) < formats.SEALED_OVERHEAD:
        raise FormatError("this is too short to be sealed")
    if sealed[:1] != _PLAIN:
        raise formats.UnknownVersion(f"sealed with algorithm {sealed[0]}, which is unknown here")
    return _open(key, _padded(purpose) + _PLAIN + binds, sealed)


def _open(key: bytes, associated: bytes, sealed: bytes) -> bytes:
    nonce = sealed[1:_CIPHERTEXT_AT]
    try:
        return _decrypt(sealed[_CIPHERTEXT_AT:], associated, nonce, key)
    except CryptoError:
        raise FormatError("sealed bytes are damaged, or not ours") from None


class Sealer:
    """Seals and opens the chunks of one member. Not for two threads at a time."""

    __slots__ = ("_cipher", "_compress", "_decompressor", "_hash")

    def __init__(self, keys: MemberKeys) -> None:
        self._cipher = Cipher(keys.content_key, formats.CHUNK_MAX)
        self._hash = hashing.Hasher(formats.HASH_CHUNK, keys.chunk_id_key)
        self._compress = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress
        self._decompressor = zstandard.ZstdDecompressor()

    def chunk_id(self, plaintext: bytes) -> ChunkId:
        """The id of a chunk: the same for the same bytes, to this member alone."""
        return ChunkId(self._hash(plaintext))

    def seal(self, chunk_id: ChunkId, plaintext: bytes, nonce: bytes) -> bytes:
        """The sealed form of a chunk whose id is `chunk_id`."""
        size = len(plaintext)
        if size > formats.CHUNK_MAX:
            raise ValueError(f"a chunk has at most {formats.CHUNK_MAX} bytes, not {size}")
        algorithm, associated, body = _PLAIN, _CHUNK_PLAIN + chunk_id, plaintext
        if size >= _COMPRESS_FROM_BYTES:
            compressed = self._compress(plaintext)
            if len(compressed) < size - (size >> 5):  # saves 3 %, or is not worth undoing
                algorithm, associated, body = _ZSTD, _CHUNK_ZSTD + chunk_id, compressed
        sealed = b"".join((algorithm, nonce, self._cipher.encrypt(body, associated, nonce)))
        opened = self._cipher.decrypt_again(len(body), associated, nonce)
        if opened is None or plaintext != (
            bytes(opened) if algorithm is _PLAIN else self._decompress(opened)
        ):
            raise RuntimeError("a sealed chunk does not open to what it was sealed from")
        return sealed

    def open(self, chunk_id: ChunkId, sealed: bytes) -> bytes:
        """The chunk with this id. Raises FormatError for any other bytes."""
        if not formats.SEALED_OVERHEAD <= len(sealed) <= formats.SEALED_CHUNK_MAX:
            raise FormatError(f"a sealed chunk cannot have {len(sealed)} bytes")
        algorithm = sealed[0]
        if algorithm == formats.ALGORITHM_ZSTD:
            plaintext = self._decompress(self._opened(_CHUNK_ZSTD + chunk_id, sealed))
        elif algorithm == formats.ALGORITHM_PLAIN:
            plaintext = bytes(self._opened(_CHUNK_PLAIN + chunk_id, sealed))
        else:
            raise formats.UnknownVersion(f"a chunk sealed with unknown algorithm {algorithm}")
        if self._hash(plaintext) != chunk_id:
            raise FormatError("a chunk does not have the id that it was sealed under")
        return plaintext

    def _opened(self, associated: bytes, sealed: bytes) -> memoryview:
        nonce = sealed[1:_CIPHERTEXT_AT]
        opened = self._cipher.decrypt(sealed, _CIPHERTEXT_AT, associated, nonce)
        if opened is None:
            raise FormatError("sealed bytes are damaged, or not ours")
        return opened

    def _decompress(self, frame: memoryview) -> bytes:
        try:
            size = zstandard.frame_content_size(frame)
            if not 0 <= size <= formats.CHUNK_MAX:
                raise FormatError(f"a compressed chunk claims to have {size} bytes")
            return self._decompressor.decompress(
                frame, max_output_size=formats.CHUNK_MAX, allow_extra_data=False
            )
        except zstandard.ZstdError as error:
            raise FormatError(f"a chunk's compression is damaged: {error}") from error


def chunk_id(keys: MemberKeys, plaintext: bytes) -> ChunkId:
    """As `Sealer.chunk_id`, for a single chunk."""
    return Sealer(keys).chunk_id(plaintext)


def seal_chunk(keys: MemberKeys, chunk_id: ChunkId, plaintext: bytes, nonce: bytes) -> bytes:
    """As `Sealer.seal`, for a single chunk."""
    return Sealer(keys).seal(chunk_id, plaintext, nonce)


def open_chunk(keys: MemberKeys, chunk_id: ChunkId, sealed: bytes) -> bytes:
    """As `Sealer.open`, for a single chunk."""
    return Sealer(keys).open(chunk_id, sealed)
