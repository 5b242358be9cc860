import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)

from chunking.aead import TAG_BYTES, Cipher

KEY, NONCE = bytes(range(32)), bytes(range(24))
SIZE_MAX = 300
CIPHER = Cipher(KEY, SIZE_MAX)


@given(text=st.binary(max_size=SIZE_MAX), bound=st.binary(max_size=80))
def test_it_makes_and_opens_what_the_public_binding_makes_and_opens(text, bound):
    sealed = bytes(CIPHER.encrypt(text, bound, NONCE))
    assert sealed == crypto_aead_xchacha20poly1305_ietf_encrypt(text, bound, NONCE, KEY)
    assert crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, bound, NONCE, KEY) == text
    assert CIPHER.decrypt_again(len(text), bound, NONCE) == text
    assert CIPHER.decrypt(b"before" + sealed, 6, bound, NONCE) == text


@given(text=st.binary(max_size=50), place=st.integers(0), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_opens_to_nothing(text, place, bit):
    sealed = bytearray(CIPHER.encrypt(text, b"bound", NONCE))
    sealed[place % len(sealed)] ^= 1 << bit
    assert CIPHER.decrypt(bytes(sealed), 0, b"bound", NONCE) is None


def test_another_key_nonce_or_bound_text_opens_to_nothing():
    sealed = bytes(CIPHER.encrypt(b"text", b"bound", NONCE))
    assert Cipher(bytes(32), SIZE_MAX).decrypt(sealed, 0, b"bound", NONCE) is None
    assert CIPHER.decrypt(sealed, 0, b"bound", bytes(24)) is None
    assert CIPHER.decrypt(sealed, 0, b"other", NONCE) is None


def test_nothing_is_written_or_read_beyond_a_buffer():
    with pytest.raises(ValueError, match="301 bytes"):
        CIPHER.encrypt(bytes(SIZE_MAX + 1), b"", NONCE)
    for size, offset in ((SIZE_MAX + TAG_BYTES + 1, 0), (TAG_BYTES - 1, 0), (TAG_BYTES, 1)):
        with pytest.raises(ValueError, match="bytes under a nonce"):
            CIPHER.decrypt(bytes(size), offset, b"", NONCE)
    with pytest.raises(ValueError, match="nonce of 12"):
        CIPHER.encrypt(b"", b"", bytes(12))
    with pytest.raises(ValueError, match="nonce of 12"):
        CIPHER.decrypt(bytes(20), 0, b"", bytes(12))
    with pytest.raises(ValueError, match="32 bytes"):
        Cipher(bytes(16), SIZE_MAX)
