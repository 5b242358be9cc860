from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from chunking import formats, keys, statement
from chunking.formats import Dealing, FormatError, StatementBody, UnknownVersion
from chunking.statement import Statement, read_statement, sign_statement
from tests.golden import samples

KEYS = samples.KEYS
GOLDEN = samples.STATEMENT
sizes = st.integers(0, formats.INT64_MAX)
members = st.binary(min_size=32, max_size=32)


def written(said: Statement, by: keys.MemberKeys = KEYS) -> bytes:
    return sign_statement(by, said.counter, said.time_ns, said.offer_bytes, said.dealings)


DATA = written(GOLDEN)


def signed(unsigned: bytes) -> bytes:
    """What a member could sign, whatever it is."""
    _, secret = crypto_sign_seed_keypair(KEYS.identity_seed)
    return unsigned + crypto_sign(formats.SIGN_STATEMENT + unsigned, secret)[:64]


def with_body(body: StatementBody) -> bytes:
    return signed(DATA[:56] + formats.encode_body(body, "usage statement"))


@given(
    sizes,
    sizes,
    sizes,
    st.dictionaries(members, st.tuples(sizes, sizes), max_size=5),
)
def test_a_statement_comes_back(counter, time_ns, offer_bytes, of):
    dealings = tuple(Dealing(member, *of[member]) for member in sorted(of))
    data = sign_statement(KEYS, counter, time_ns, offer_bytes, dealings)
    said = Statement(KEYS.identity_public_key, counter, time_ns, offer_bytes, dealings)
    assert read_statement(data) == said


def test_the_longest_statement_of_the_largest_group_fits():
    dealings = tuple(
        Dealing(bytes([number]) * 32, formats.INT64_MAX, formats.INT64_MAX)
        for number in range(formats.STATEMENT_DEALINGS_MAX)
    )
    data = sign_statement(KEYS, formats.INT64_MAX, formats.INT64_MAX, formats.INT64_MAX, dealings)
    assert len(data) <= formats.STATEMENT_BYTES_MAX
    assert read_statement(data).dealings == dealings


def test_every_flipped_bit_is_noticed():
    for bit in range(len(DATA) * 8):
        damaged = bytearray(DATA)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError, match="usage statement"):
            read_statement(bytes(damaged))


def test_every_truncation_is_noticed():
    for end in range(len(DATA)):
        with pytest.raises(FormatError):
            read_statement(DATA[:end])
    with pytest.raises(FormatError):
        read_statement(DATA + b"\x00")


def test_a_newer_version_is_called_that():
    with pytest.raises(UnknownVersion):
        read_statement(signed(b"CVUS\x02" + DATA[5:-64]))


def test_a_signature_for_another_purpose_is_none():
    _, secret = crypto_sign_seed_keypair(KEYS.identity_seed)
    unsigned = DATA[:-64]
    other = unsigned + crypto_sign(formats.SIGN_ROOT + unsigned, secret)[:64]
    with pytest.raises(FormatError, match="not signed"):
        read_statement(other)


A, B = b"a" * 32, b"b" * 32
IMPOSSIBLE = {
    "members out of order": StatementBody(1, (Dealing(B, 1, 1), Dealing(A, 1, 1))),
    "a member twice": StatementBody(1, (Dealing(A, 1, 1), Dealing(A, 1, 1))),
    "a short id": StatementBody(1, (Dealing(b"short", 1, 1),)),
    "no id": StatementBody(1, (Dealing(b"", 1, 1),)),
    "a negative size": StatementBody(1, (Dealing(A, -1, 1),)),
    "a size beyond all disks": StatementBody(1, (Dealing(A, 1, 2**63),)),
    "a negative offer": StatementBody(-1, ()),
}


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_what_cannot_be_true_is_neither_read_nor_written(what):
    body = IMPOSSIBLE[what]
    with pytest.raises(FormatError):
        read_statement(with_body(body))
    with pytest.raises(FormatError):
        sign_statement(KEYS, 1, 1, body.offer_bytes, body.dealings)


def test_too_many_members_are_not_read():
    many = tuple(Dealing(number.to_bytes(32, "big"), 0, 0) for number in range(1, 258))
    with pytest.raises(FormatError, match="too many"):
        read_statement(with_body(StatementBody(1, many)))


def test_another_encoding_of_the_same_statement_is_not_read():
    plain = formats.encode_body(StatementBody(GOLDEN.offer_bytes, GOLDEN.dealings), "statement")
    assert plain[0] == 0x92  # an array of two, and now the same with a longer length
    with pytest.raises(FormatError):
        read_statement(signed(DATA[:56] + b"\xdc\x00\x02" + plain[1:]))


def test_a_statement_binds_who_signed_it():
    other = keys.MemberKeys.from_master(b"o" * 32)
    assert statement.read_statement(written(GOLDEN, other)).identity_key == (
        other.identity_public_key
    )
