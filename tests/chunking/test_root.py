from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from chunking import formats, keys, root, seal
from chunking.formats import FormatError, RootBody, UnknownVersion
from chunking.root import RootRecord
from tests.golden import samples

KEYS = samples.KEYS
NONCE = b"n" * 24
RECORD = samples.ROOT_RECORD
DATA = root.seal_root(KEYS, RECORD, NONCE)


def signed(unsigned: bytes, member: keys.MemberKeys = KEYS) -> bytes:
    """What a member could sign, whatever it is."""
    _, secret = crypto_sign_seed_keypair(member.identity_seed)
    return unsigned + crypto_sign(formats.SIGN_ROOT + unsigned, secret)[:64]


def with_body(plaintext: bytes) -> bytes:
    header = DATA[: formats.ENVELOPE_HEADER_BYTES]
    return signed(
        header + seal.seal_blob(KEYS.root_key, formats.SEAL_ROOT, header, plaintext, NONCE)
    )


@given(
    counter=st.integers(0, formats.INT64_MAX),
    time_ns=st.integers(0, formats.INT64_MAX),
    settings=st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=10),
        st.integers(-(2**63), 2**63) | st.text(st.characters(codec="utf-8"), max_size=10),
        max_size=5,
    ),
)
def test_a_record_comes_back(counter, time_ns, settings):
    record = RootRecord(counter, time_ns, RECORD.snapshots, RECORD.index_packs, (), settings)
    data = root.seal_root(KEYS, record, NONCE)
    assert root.open_root(KEYS, data) == record
    assert root.read_root_envelope(data) == (KEYS.identity_public_key, counter)


def test_the_same_settings_in_another_order_are_the_same_bytes():
    turned = dict(reversed(RECORD.settings.items()))
    assert list(turned) != list(RECORD.settings)
    record = RootRecord(41, RECORD.time_ns, settings=turned)
    other = RootRecord(41, RECORD.time_ns, settings=RECORD.settings)
    assert root.seal_root(KEYS, record, NONCE) == root.seal_root(KEYS, other, NONCE)


def test_every_flipped_bit_is_noticed_by_owner_and_holder():
    for bit in range(len(DATA) * 8):
        damaged = bytearray(DATA)
        damaged[bit // 8] ^= 1 << bit % 8
        for read in (root.read_root_envelope, lambda data: root.open_root(KEYS, data)):
            with pytest.raises(FormatError, match="root record"):
                read(bytes(damaged))


def test_every_truncation_is_noticed():
    for end in range(len(DATA)):
        with pytest.raises(FormatError):
            root.read_root_envelope(DATA[:end])
    with pytest.raises(FormatError):
        root.read_root_envelope(DATA + b"\x00")


def test_a_holder_sees_nothing_of_what_is_backed_up():
    for secret in (b"/home/zoe", b"covey.example", RECORD.index_packs[0].pack):
        assert secret not in DATA


def test_a_record_signed_by_somebody_else_is_not_opened_as_ours():
    other = keys.MemberKeys.from_master(b"o" * 32)
    theirs = root.seal_root(other, RECORD, NONCE)
    assert root.read_root_envelope(theirs) == (other.identity_public_key, 41)
    with pytest.raises(FormatError, match="another member's"):
        root.open_root(KEYS, theirs)
    unsigned = DATA[: -formats.SIGNATURE_BYTES]
    with pytest.raises(FormatError, match="not signed by its owner"):
        root.read_root_envelope(signed(unsigned, other))


def test_the_body_does_not_open_under_another_header():
    header = bytearray(DATA[: -formats.SIGNATURE_BYTES])
    header[47] += 1  # the counter
    data = signed(bytes(header))
    assert root.read_root_envelope(data)[1] == 42
    with pytest.raises(FormatError):
        root.open_root(KEYS, data)


def test_a_newer_version_is_named():
    with pytest.raises(UnknownVersion, match="root record has version 9"):
        root.read_root_envelope(DATA[:4] + b"\x09" + DATA[5:])


def test_counters_and_times_beyond_64_signed_bits_are_refused_however_well_signed():
    for at in (40, 48):
        unsigned = bytearray(DATA[: -formats.SIGNATURE_BYTES])
        unsigned[at] = 0xFF
        with pytest.raises(FormatError, match="header is damaged"):
            root.read_root_envelope(signed(bytes(unsigned)))
    for record in (RootRecord(-1, 0), RootRecord(0, -1), RootRecord(2**63, 0)):
        with pytest.raises(FormatError, match="out of range"):
            root.seal_root(KEYS, record, NONCE)


def test_a_record_longer_than_holders_accept_is_neither_written_nor_read():
    wide = msgspec.structs.replace(REF, shares=bytes(20 * 32))
    record = RootRecord(1, 1, index_packs=(wide,) * 2000)
    with pytest.raises(FormatError, match="longer than holders accept"):
        root.seal_root(KEYS, record, NONCE)
    with pytest.raises(FormatError, match="cannot have"):
        root.read_root_envelope(signed(DATA[:56] + bytes(formats.ROOT_BYTES_MAX)))


SNAPSHOT = RECORD.snapshots[0]
REF = RECORD.index_packs[0]


@pytest.mark.parametrize(
    "body",
    [
        RootBody((msgspec.structs.replace(SNAPSHOT, id=b"short"),), (), (), {}),
        RootBody((msgspec.structs.replace(SNAPSHOT, files=-1),), (), (), {}),
        RootBody((SNAPSHOT,) * 4097, (), (), {}),
        RootBody((), (msgspec.structs.replace(REF, needed=0),), (), {}),
        RootBody((), (), (b"relative",), {}),
        RootBody((), (), (b"/x/../y",), {}),
        RootBody((), (), (b"/x",) * 1025, {}),
        RootBody((), (), (), {"x" * 257: 1}),
        RootBody((), (), (), {"x": "y" * 4097}),
        RootBody((), (), (), {str(number): number for number in range(257)}),
    ],
    ids=range(10),
)
def test_an_impossible_body_is_neither_written_nor_read(body):
    with pytest.raises(FormatError):
        root.seal_root(KEYS, RootRecord(1, 1, *msgspec.structs.astuple(body)), NONCE)
    with pytest.raises(FormatError):
        root.open_root(KEYS, with_body(msgspec.msgpack.encode(body, order="deterministic")))


@given(st.binary(max_size=100))
def test_an_arbitrary_body_never_crashes_the_reader(plaintext):
    with pytest.raises(FormatError):
        root.open_root(KEYS, with_body(plaintext))


def test_settings_out_of_order_or_twice_are_refused():
    for settings in (b"\x82\xa1b\x01\xa1a\x01", b"\x82\xa1a\x01\xa1a\x01"):
        with pytest.raises(FormatError, match="canonical"):
            root.open_root(KEYS, with_body(b"\x94\x90\x90\x90" + settings))
