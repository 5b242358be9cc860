"""The duty: signed whole, bounded, and read back as it was written."""

from __future__ import annotations

import dataclasses

import pytest

from chunking import duty, formats
from chunking.formats import FormatError, PackId, PackRef
from chunking.keys import MemberKeys
from tests.golden.samples import DUTY, KEYS

OTHER = MemberKeys.from_master(b"o" * 32)


def signed(keys: MemberKeys = KEYS, **changes) -> bytes:
    one = dataclasses.replace(DUTY, **changes)
    return duty.sign_duty(keys, one.counter, one.time_ns, one.grace_days, one.deputies, one.packs)


def test_a_duty_reads_back_and_its_envelope_tells_whose_it_is():
    assert duty.read_duty(signed()) == DUTY
    assert duty.read_duty_envelope(signed()) == (KEYS.identity_public_key, DUTY.counter)
    assert duty.read_duty(signed(deputies=(), packs=())).packs == ()


def test_every_changed_byte_breaks_the_signature():
    data = signed()
    for at in range(8, len(data), 7):
        wrong = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        for read in (duty.read_duty, duty.read_duty_envelope):
            with pytest.raises(FormatError):
                read(wrong)


def test_nobody_signs_for_another_owner():
    theirs = signed(OTHER)
    swapped = theirs[:8] + KEYS.identity_public_key + theirs[40:]
    with pytest.raises(FormatError, match="not signed by its owner"):
        duty.read_duty(swapped)


@pytest.mark.parametrize(
    "changes",
    [
        {"counter": -1},
        {"time_ns": 2**63},
        {"grace_days": 0},
        {"grace_days": formats.DUTY_GRACE_DAYS_MAX + 1},
        {"deputies": (b"short",)},
        {"deputies": (b"a" * 32, b"a" * 32)},
        {"deputies": tuple(bytes([n]) * 32 for n in range(formats.DUTY_DEPUTIES_MAX + 1))},
        {"packs": DUTY.packs[::-1]},
        {"packs": (DUTY.packs[0], DUTY.packs[0])},
        {"packs": (PackRef(PackId(b"p" * 32), 3, 100, b"n" * 64),)},
    ],
    ids=str,
)
def test_what_no_reader_would_accept_is_not_signed(changes):
    with pytest.raises(FormatError):
        signed(**changes)


def test_a_duty_of_more_packs_than_holders_keep_is_not_signed():
    many = tuple(
        PackRef(PackId(number.to_bytes(32, "big")), 1, 100, bytes(32 * 20))
        for number in range(7000)
    )
    with pytest.raises(FormatError, match="longer than holders accept"):
        signed(packs=many)
