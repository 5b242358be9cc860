"""The collection of usage statements: what gets in, what stays, what a restart keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from chunking.formats import Dealing
from chunking.keys import MemberKeys
from chunking.statement import sign_statement
from datachannel.messages import STATEMENTS_MAX
from peer.space.book import StatementBook
from signaling.messages import MemberId, member_id_of


def keys_of(name: str) -> MemberKeys:
    return MemberKeys.from_master(name.encode().ljust(32, b"."))


def id_of(keys: MemberKeys) -> MemberId:
    return member_id_of(keys.identity_public_key)


ME, ANNA, BEN = keys_of("me"), keys_of("anna"), keys_of("ben")
GROUP = {id_of(ANNA), id_of(BEN)}


def word(keys: MemberKeys, counter: int, offer: int = 10) -> bytes:
    return sign_statement(keys, counter, 5, offer, ())


@pytest.fixture
def book(tmp_path: Path) -> StatementBook:
    return StatementBook(tmp_path / "statements", id_of(ME))


def offers(book: StatementBook) -> dict[MemberId, int]:
    return {member: said.offer_bytes for member, said in book.statements().items()}


def test_what_is_new_is_kept_over_a_restart(book: StatementBook, tmp_path: Path):
    assert book.learn([word(ANNA, 1), word(BEN, 4, 20)], GROUP) == 2
    again = StatementBook(tmp_path / "statements", id_of(ME))
    assert offers(again) == offers(book) == {id_of(ANNA): 10, id_of(BEN): 20}
    assert sorted(again.to_tell()) == sorted([word(ANNA, 1), word(BEN, 4, 20)])


def test_an_older_one_that_is_told_again_changes_nothing(book: StatementBook):
    book.learn([word(ANNA, 5, 50)], GROUP)
    assert book.learn([word(ANNA, 4, 40)], GROUP) == 0
    assert offers(book) == {id_of(ANNA): 50}
    assert book.learn([word(ANNA, 6, 60)], GROUP) == 1
    assert offers(book) == {id_of(ANNA): 60}


def test_who_says_two_things_with_one_counter_is_noted_and_the_first_stays(book: StatementBook):
    book.learn([word(ANNA, 5, 50), word(ANNA, 5, 50)], GROUP)
    assert not book.two_faced
    book.learn([word(ANNA, 5, 99)], GROUP)
    assert book.two_faced == {id_of(ANNA)}
    assert offers(book) == {id_of(ANNA): 50}


def test_strangers_and_forgeries_do_not_get_in(book: StatementBook):
    stranger = keys_of("stranger")
    forged = bytearray(word(ANNA, 9))
    forged[45] ^= 1
    assert book.learn([word(stranger, 1), bytes(forged), b"", b"CVUS\x01", bytes(300)], GROUP) == 0
    assert book.statements() == {}


def test_one_wrong_statement_leaves_the_others_alone(book: StatementBook):
    assert book.learn([b"nonsense", word(ANNA, 1), b"more of it"], GROUP) == 1


def test_our_own_has_a_counter_that_only_rises(book: StatementBook, tmp_path: Path):
    some = (Dealing(b"x" * 32, 1, 2),)
    assert book.tell_own(ME, lambda: 5, 10, ())
    assert not book.tell_own(ME, lambda: 6, 10, ())  # nothing new to say
    assert book.tell_own(ME, lambda: 4, 10, some)  # whatever the clock says
    again = StatementBook(tmp_path / "statements", id_of(ME))
    assert again.statements()[id_of(ME)].counter == 2
    assert again.tell_own(ME, lambda: 5, 11, some)
    assert again.statements()[id_of(ME)].counter == 3


def test_after_a_lost_disk_our_counter_follows_what_friends_remember(book: StatementBook):
    book.learn([word(ME, 41)], GROUP)
    assert book.tell_own(ME, lambda: 5, 10, (Dealing(b"x" * 32, 1, 2),))
    assert book.statements()[id_of(ME)].counter == 42


def test_our_own_is_on_disk_before_it_can_be_told(book: StatementBook, tmp_path: Path):
    (tmp_path / "statements").mkdir()  # cannot be written now
    with pytest.raises(OSError, match="statements"):
        book.tell_own(ME, lambda: 5, 10, ())
    assert book.to_tell() == []


def test_the_collection_is_bounded_and_gives_up_who_is_no_member_any_more(book: StatementBook):
    many = [keys_of(f"member {number}") for number in range(STATEMENTS_MAX + 5)]
    members = {id_of(keys) for keys in many}
    assert book.learn([word(keys, 1) for keys in many], members) == STATEMENTS_MAX - 1
    assert book.tell_own(ME, lambda: 5, 10, ())
    assert len(book.to_tell()) == STATEMENTS_MAX
    left = {id_of(keys) for keys in many[:-20]}
    assert book.learn([word(ANNA, 1)], left | GROUP) == 1
    assert id_of(ME) in book.statements()


def test_a_damaged_file_is_begun_anew(tmp_path: Path):
    path = tmp_path / "statements"
    path.write_bytes(b"\x00\x00\x00\x05junk!")
    book = StatementBook(path, id_of(ME))
    assert book.statements() == {}
    assert book.learn([word(ANNA, 1)], GROUP) == 1
