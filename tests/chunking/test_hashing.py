from __future__ import annotations

import hashlib
import random

import pytest

from chunking import formats, hashing

SIZES = (0, 1, 127, 128, 129, 32_767, 32_768, 32_769, 65_536, 1_000_003)


@pytest.mark.parametrize("key", [b"", b"k" * 32])
@pytest.mark.parametrize("size", SIZES)
def test_both_libraries_give_the_digest_of_plain_blake2b(size, key):
    data = random.Random(size).randbytes(size)
    expected = hashlib.blake2b(data, digest_size=32, key=key, person=formats.HASH_LEAF).digest()
    hasher = hashing.Hasher(formats.HASH_LEAF, key)
    assert hasher(data) == hasher(memoryview(data)) == hasher(bytearray(data)) == expected


def test_no_purpose_tag_is_used_twice_or_too_long():
    tags = [
        value
        for name, value in vars(formats).items()
        if name.startswith(("HASH_", "KEY_")) and isinstance(value, bytes)
    ]
    assert len(tags) == 12
    assert len(set(tags)) == len(tags)
    assert all(0 < len(tag) <= hashlib.blake2b.PERSON_SIZE for tag in tags)


def test_derived_keys_differ_by_purpose_and_master():
    keys = {
        hashing.derive_key(master, purpose)
        for master in (b"a" * 32, b"b" * 32)
        for purpose in (formats.KEY_CONTENT, formats.KEY_ROOT)
    }
    assert len(keys) == 4
    assert all(len(key) == 32 for key in keys)
