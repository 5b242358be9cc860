from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datachannel import signals
from datachannel.signals import AttemptId, Candidate, Description, SignalBox, SignalRefused
from tests.support.members import counted_bytes, two_members

NOW = 1_800_000_000.0
ATTEMPT = AttemptId(bytes(range(16)))
DESCRIPTION = Description(
    username="user",
    password="p" * 22,
    fingerprint=bytes(32),
    setup="actpass",
    candidates=(
        Candidate("host", "192.168.1.2", 40_000, 2130706431, "f1"),
        Candidate("host", "fd00::2", 40_001, 2130706431, "f2"),
        Candidate("relay", "203.0.113.9", 50_000, 1, "f3"),
    ),
)
PAYLOADS = [
    signals.Offer(DESCRIPTION),
    signals.Answer(bytes(32), DESCRIPTION),
    signals.PleaseCall(),
    signals.MoreCandidates(DESCRIPTION.candidates, complete=True),
    signals.Decline("busy"),
]


class Boxes:
    """Anna and Ben, each with a box; `sent` seals from Anna, `opened` opens as Ben."""

    def __init__(self) -> None:
        self.anna, self.ben = two_members()
        self.anna_box = SignalBox(self.anna, random_bytes=counted_bytes("anna"))
        self.ben_box = SignalBox(self.ben, random_bytes=counted_bytes("ben"))

    def sent(self, payload: signals.Payload = PAYLOADS[2], now: float = NOW) -> bytes:
        return self.anna_box.seal(self.ben.member_id, ATTEMPT, payload, now=now).blob

    def opened(self, blob: bytes, now: float = NOW) -> signals.Signal:
        return self.ben_box.open(self.anna.member_id, self.anna.identity_public_key, blob, now=now)

    def refusal_of(self, blob: bytes, now: float = NOW) -> str:
        with pytest.raises(SignalRefused) as caught:
            self.opened(blob, now)
        return caught.value.code


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda one: type(one).__name__)
def test_a_signal_opens_as_what_was_sealed(payload):
    boxes = Boxes()
    sealed = boxes.anna_box.seal(boxes.ben.member_id, ATTEMPT, payload, now=NOW)
    assert boxes.opened(sealed.blob) == signals.Signal(
        boxes.anna.member_id, ATTEMPT, payload, sealed.digest
    )


def test_two_offers_of_the_same_content_have_different_hashes():
    boxes = Boxes()
    first, second = (
        boxes.anna_box.seal(boxes.ben.member_id, ATTEMPT, PAYLOADS[0], now=NOW) for _ in "12"
    )
    assert first.digest != second.digest


def test_nothing_of_a_signal_is_readable_on_its_way():
    boxes = Boxes()
    blob = boxes.sent(PAYLOADS[0])
    for text in (b"192.168", b"pppp", b"offer", boxes.anna.member_id, boxes.anna.name_id):
        assert text not in blob


def test_the_age_limit_holds_in_both_directions():
    boxes = Boxes()
    assert boxes.refusal_of(boxes.sent(), NOW + 60.5) == "stale"
    assert boxes.refusal_of(boxes.sent(), NOW - 60.5) == "stale"
    boxes.opened(boxes.sent(), NOW + 59.5)
    boxes.opened(boxes.sent(), NOW - 59.5)


def test_a_stale_signal_spends_no_counter():
    boxes = Boxes()
    early, late = boxes.sent(now=NOW), boxes.sent(now=NOW)
    assert boxes.refusal_of(late, NOW + 100) == "stale"
    boxes.opened(early, NOW)


def test_a_member_that_starts_anew_is_heard_even_if_its_clock_was_set_back():
    boxes = Boxes()
    for _ in range(3):
        boxes.opened(boxes.sent(now=NOW + 50), NOW)
    again = SignalBox(boxes.anna, random_bytes=counted_bytes("anna again"))
    blob = again.seal(boxes.ben.member_id, ATTEMPT, PAYLOADS[2], now=NOW - 50).blob
    boxes.opened(blob, NOW)


def test_the_run_before_a_restart_is_remembered_while_its_signals_could_be_replayed():
    boxes = Boxes()
    old = boxes.sent(now=NOW + 59)
    boxes.opened(old, NOW)
    for number in range(5):
        again = SignalBox(boxes.anna, random_bytes=counted_bytes(f"run {number}"))
        now = NOW + 20 * number
        boxes.opened(again.seal(boxes.ben.member_id, ATTEMPT, PAYLOADS[2], now=now).blob, now)
        assert boxes.refusal_of(old, now) == "replay"
    assert boxes.refusal_of(old, NOW + 120) == "stale"


def test_what_is_remembered_of_a_member_is_bounded():
    boxes = Boxes()
    for number in range(signals.RUNS_PER_MEMBER_MAX):
        again = SignalBox(boxes.anna, random_bytes=counted_bytes(f"run {number}"))
        boxes.opened(again.seal(boxes.ben.member_id, ATTEMPT, PAYLOADS[2], now=NOW).blob)
    assert boxes.refusal_of(boxes.sent()) == "runs"
    boxes.opened(boxes.sent(now=NOW + 200), NOW + 200)


def test_a_full_description_fits_a_signal():
    boxes = Boxes()
    many = tuple(
        Candidate(
            "host", f"2001:db8:1111:2222:3333:4444:5555:{number:x}", 65_535, 2**32 - 1, "f" * 32
        )
        for number in range(1, signals.CANDIDATES_MAX + 1)
    )
    big = Description("u" * 256, "p" * 256, bytes(32), "passive", many)
    assert len(boxes.sent(signals.Answer(bytes(32), big))) < signals.SIGNAL_BYTES_MAX


@settings(max_examples=60)
@given(st.lists(st.integers(0, 7), max_size=30))
def test_of_any_order_of_deliveries_each_signal_counts_once_and_in_its_order(deliveries):
    boxes = Boxes()
    blobs = [boxes.sent() for _ in range(8)]
    taken = []
    for number in deliveries:
        with contextlib.suppress(SignalRefused):
            boxes.opened(blobs[number])
            taken.append(number)
    assert all(before < after for before, after in itertools.pairwise(taken))
    highest = -1
    expected = []
    for number in deliveries:
        if number > highest:
            highest = number
            expected.append(number)
    assert taken == expected


BAD_CANDIDATES = [
    ("host", "example.org", 1, 1, "f"),
    ("host", "abcd.local", 1, 1, "f"),
    ("host", "192.168.001.2", 1, 1, "f"),
    ("host", "FD00::2", 1, 1, "f"),
    ("host", "fe80::2%eth0", 1, 1, "f"),
    ("host", "fe80::2%x\r\na=y", 1, 1, "f"),
    ("host", "10.0.0.1", 0, 1, "f"),
    ("host", "10.0.0.1", 65_536, 1, "f"),
    ("host", "10.0.0.1", 1, 1 << 32, "f"),
    ("host", "10.0.0.1", 1, 1, ""),
    ("host", "10.0.0.1", 1, 1, "a b"),
    ("host", "10.0.0.1", 1, 1, "a\r\na=x"),
]


@pytest.mark.parametrize("fields", BAD_CANDIDATES)
def test_a_senseless_candidate_is_none(fields):
    with pytest.raises(ValueError, match=r"."):
        Candidate(*fields)


@pytest.mark.parametrize(
    "change",
    [
        {"username": "abc"},
        {"username": "a" * 257},
        {"username": "user\r\n"},
        {"password": "p" * 21},
        {"password": "p" * 22 + " "},
        {"fingerprint": bytes(31)},
        {"candidates": DESCRIPTION.candidates * 11},
    ],
)
def test_a_senseless_description_is_none(change):
    fields = {name: getattr(DESCRIPTION, name) for name in Description.__struct_fields__}
    with pytest.raises(ValueError, match=r"."):
        Description(**(fields | change))
