from __future__ import annotations

import random

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt

from chunking import formats, keys, seal
from chunking.formats import ChunkId, FormatError, UnknownVersion

KEYS = keys.MemberKeys.from_master(b"m" * 32)
SEALER = seal.Sealer(KEYS)
NONCE = b"n" * 24
TEXT = b"All files are safe with six friends. " * 100


def sealed_as(algorithm: int, chunk_id: ChunkId, body: bytes) -> bytes:
    """A chunk as only the owner could seal it, with whatever in it."""
    purpose = formats.SEAL_CHUNK.ljust(16, b"\x00") + bytes((algorithm,)) + chunk_id
    whole = crypto_aead_xchacha20poly1305_ietf_encrypt(body, purpose, NONCE, KEYS.content_key)
    return bytes((algorithm,)) + NONCE + whole


@given(st.binary(max_size=3000))
def test_what_is_sealed_opens(plaintext):
    chunk_id = SEALER.chunk_id(plaintext)
    sealed = SEALER.seal(chunk_id, plaintext, NONCE)
    assert SEALER.open(chunk_id, sealed) == plaintext
    assert len(sealed) <= len(plaintext) + formats.SEALED_OVERHEAD


def test_the_functions_do_what_the_sealer_does():
    chunk_id = seal.chunk_id(KEYS, TEXT)
    sealed = seal.seal_chunk(KEYS, chunk_id, TEXT, NONCE)
    assert (chunk_id, sealed) == (SEALER.chunk_id(TEXT), SEALER.seal(chunk_id, TEXT, NONCE))
    assert seal.open_chunk(KEYS, chunk_id, sealed) == TEXT


def test_text_is_compressed_and_noise_is_not():
    noise = random.Random(1).randbytes(5000)
    text_sealed = SEALER.seal(SEALER.chunk_id(TEXT), TEXT, NONCE)
    noise_sealed = SEALER.seal(SEALER.chunk_id(noise), noise, NONCE)
    assert (text_sealed[0], noise_sealed[0]) == (formats.ALGORITHM_ZSTD, formats.ALGORITHM_PLAIN)
    assert len(text_sealed) < len(TEXT) // 10
    assert len(noise_sealed) == len(noise) + formats.SEALED_OVERHEAD


def test_the_largest_chunk_fits_and_a_larger_one_is_refused():
    largest = bytes(formats.CHUNK_MAX)
    chunk_id = SEALER.chunk_id(largest)
    assert SEALER.open(chunk_id, SEALER.seal(chunk_id, largest, NONCE)) == largest
    with pytest.raises(ValueError, match="at most"):
        SEALER.seal(chunk_id, largest + b"x", NONCE)


@pytest.mark.parametrize("plaintext", [TEXT, b"short"])
def test_every_flipped_bit_is_noticed(plaintext):
    chunk_id = SEALER.chunk_id(plaintext)
    sealed = SEALER.seal(chunk_id, plaintext, NONCE)
    for bit in range(len(sealed) * 8):
        damaged = bytearray(sealed)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError, match=r"seal|chunk"):
            SEALER.open(chunk_id, bytes(damaged))


def test_every_truncation_and_every_appended_byte_is_noticed():
    chunk_id = SEALER.chunk_id(TEXT)
    sealed = SEALER.seal(chunk_id, TEXT, NONCE)
    for wrong in (*(sealed[:end] for end in range(len(sealed))), sealed + b"\x00"):
        with pytest.raises(FormatError):
            SEALER.open(chunk_id, wrong)


def test_a_sealed_chunk_does_not_open_in_the_place_of_another():
    one, two = SEALER.chunk_id(b"one"), SEALER.chunk_id(b"two")
    with pytest.raises(FormatError, match="damaged, or not ours"):
        SEALER.open(two, SEALER.seal(one, b"one", NONCE))


def test_another_member_neither_opens_it_nor_computes_its_id():
    other = seal.Sealer(keys.MemberKeys.from_master(b"o" * 32))
    chunk_id = SEALER.chunk_id(TEXT)
    assert other.chunk_id(TEXT) != chunk_id
    with pytest.raises(FormatError):
        other.open(chunk_id, SEALER.seal(chunk_id, TEXT, NONCE))


def test_a_chunk_sealed_under_an_id_that_is_not_its_own_is_refused():
    wrong = SEALER.chunk_id(b"something else")
    with pytest.raises(FormatError, match="does not have the id"):
        SEALER.open(wrong, sealed_as(formats.ALGORITHM_PLAIN, wrong, TEXT))


def test_an_unknown_algorithm_is_named():
    chunk_id = SEALER.chunk_id(TEXT)
    with pytest.raises(UnknownVersion, match="algorithm 9"):
        SEALER.open(chunk_id, sealed_as(9, chunk_id, TEXT))
    with pytest.raises(UnknownVersion, match="algorithm 2"):
        seal.open_blob(KEYS.root_key, b"purpose", b"", b"\x02" + bytes(60))


def a_bomb() -> bytes:
    return zstandard.ZstdCompressor().compress(bytes(formats.CHUNK_MAX + 1))


def a_bomb_of_unknown_size() -> bytes:
    compressor = zstandard.ZstdCompressor(write_content_size=False)
    return compressor.compress(bytes(formats.CHUNK_MAX + 1))


def a_frame_that_lies_about_its_size() -> bytes:
    frame = bytearray(zstandard.ZstdCompressor().compress(bytes(100_000)))
    at = frame.index((100_000).to_bytes(4, "little"))
    frame[at : at + 4] = (200_000).to_bytes(4, "little")
    return bytes(frame)


def a_frame_and_more() -> bytes:
    return zstandard.ZstdCompressor().compress(TEXT) + b"more"


@pytest.mark.parametrize(
    "body",
    [
        a_bomb(),
        a_bomb_of_unknown_size(),
        a_frame_that_lies_about_its_size(),
        a_frame_and_more(),
        b"no frame at all",
        b"",
    ],
)
def test_a_bad_frame_is_refused_however_well_it_is_sealed(body):
    chunk_id = SEALER.chunk_id(TEXT)
    with pytest.raises(FormatError, match=r"compress"):
        SEALER.open(chunk_id, sealed_as(formats.ALGORITHM_ZSTD, chunk_id, body))


@given(st.binary(max_size=300))
def test_arbitrary_frames_never_crash_the_reader(body):
    chunk_id = SEALER.chunk_id(TEXT)
    with pytest.raises(FormatError):
        SEALER.open(chunk_id, sealed_as(formats.ALGORITHM_ZSTD, chunk_id, body))


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_a_blob_opens_only_with_its_purpose_and_what_it_binds(plaintext, binds):
    sealed = seal.seal_blob(KEYS.root_key, b"one", binds, plaintext, NONCE)
    assert seal.open_blob(KEYS.root_key, b"one", binds, sealed) == plaintext
    for purpose, bound in ((b"two", binds), (b"one", binds + b"x")):
        with pytest.raises(FormatError):
            seal.open_blob(KEYS.root_key, purpose, bound, sealed)
