"""The rule at a holder, by itself and through real requests over a link."""

from __future__ import annotations

from pathlib import Path

import pytest

from chunking.formats import Dealing
from chunking.keys import MemberKeys
from chunking.statement import sign_statement
from peer.space.book import StatementBook
from peer.space.fairness import COUNTED_AGAIN_S, COUNTED_FOR_S, Fairness, OverOffer
from signaling.messages import MemberId, member_id_of

GB = 10**9
ME, OWNER = MemberId(b"m" * 32), MemberId(b"o" * 32)
WITNESSES = [MemberKeys.from_master(name * 32) for name in (b"1", b"2", b"3")]


class Disk:
    """What the owner has here, and how often that was counted."""

    def __init__(self) -> None:
        self.here, self.counted, self.now = 0, 0, 0.0

    def used_by(self, owner: MemberId) -> int:
        self.counted += 1
        return self.here


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def book(tmp_path: Path) -> StatementBook:
    return StatementBook(tmp_path / "statements", ME)


def rule(book: StatementBook, disk: Disk, offer: int) -> Fairness:
    return Fairness(ME, book, disk, offers=lambda: {OWNER: offer}, monotonic_s=lambda: disk.now)


def others_hold(book: StatementBook, size: int) -> None:
    """Each witness says that it keeps so much for the owner."""
    members = {member_id_of(keys.identity_public_key) for keys in WITNESSES}
    said = [sign_statement(keys, size + 1, 1, 0, (Dealing(OWNER, size, 0),)) for keys in WITNESSES]
    book.learn(said, members)


def test_an_owner_puts_as_much_as_it_gives_and_no_more(book: StatementBook, disk: Disk):
    fair = rule(book, disk, 10 * GB)
    for _ in range(10):
        fair.admit(OWNER, GB)
    disk.here = 10 * GB
    with pytest.raises(OverOffer, match=r"you take 10\.0 GB .* give 10\.0 GB"):
        fair.admit(OWNER, 1)


def test_what_the_owner_has_elsewhere_counts(book: StatementBook, disk: Disk):
    others_hold(book, 3 * GB)
    fair = rule(book, disk, 10 * GB)
    assert fair.left(OWNER) == GB
    fair.admit(OWNER, GB)
    disk.here = GB
    with pytest.raises(OverOffer):
        fair.admit(OWNER, 1)


def test_a_large_offer_alone_earns_no_more_than_the_start(book: StatementBook, disk: Disk):
    fair = rule(book, disk, 10**15)
    disk.here = 100 * GB
    with pytest.raises(OverOffer, match="audits have shown no more than 0 B"):
        fair.admit(OWNER, 1)


def test_who_deleted_something_may_put_again_soon(book: StatementBook, disk: Disk):
    fair = rule(book, disk, 10 * GB)
    disk.here = 10 * GB
    assert fair.left(OWNER) == 0
    disk.here, disk.now = 5 * GB, COUNTED_AGAIN_S + 1
    fair.admit(OWNER, 5 * GB)


def test_refusals_do_not_make_the_disk_be_counted_again_and_again(book: StatementBook, disk: Disk):
    fair = rule(book, disk, GB)
    disk.here = GB
    for _ in range(100):
        with pytest.raises(OverOffer):
            fair.admit(OWNER, 1)
    assert disk.counted == 1
    disk.now = COUNTED_FOR_S + 1
    assert fair.left(OWNER) == 0
    assert disk.counted == 2


def test_nothing_is_known_of_a_stranger_so_it_gets_nothing(book: StatementBook, disk: Disk):
    with pytest.raises(OverOffer):
        rule(book, disk, GB).admit(MemberId(b"s" * 32), 1)
