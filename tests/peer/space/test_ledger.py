"""The ledger: what statements add up to, and how little a liar can do to it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from chunking.formats import Dealing
from chunking.statement import Statement
from peer.space.ledger import CLAIM_FACTOR, START_CREDIT_BYTES, Ledger, credit_for
from signaling.messages import MemberId

GB = 10**9
A, B, C, D, E = (MemberId(letter * 32) for letter in (b"a", b"b", b"c", b"d", b"e"))
EVERYBODY = (A, B, C, D, E)


def says(
    offer: int = 0,
    held: dict[MemberId, int] | None = None,
    shown: dict[MemberId, int] | None = None,
) -> Statement:
    held, shown = held or {}, shown or {}
    dealings = tuple(
        Dealing(member, held.get(member, 0), shown.get(member, 0))
        for member in sorted({*held, *shown})
    )
    return Statement(b"k" * 32, 1, 1, offer, dealings)


amounts = st.integers(0, 10**13)
words = st.dictionaries(st.sampled_from(EVERYBODY), amounts)
some_statement = st.builds(says, amounts, words, words)
groups = st.dictionaries(st.sampled_from(EVERYBODY), some_statement, min_size=2)


def test_usage_is_what_the_others_say_that_they_keep():
    ledger = Ledger(
        {A: says(100), B: says(held={A: 10}), C: says(held={A: 12}), D: says(held={A: 8})}
    )
    assert ledger.usage(A) == 30
    assert ledger.usage(B) == 0
    assert ledger.account(A).left_bytes == 70


def test_a_group_of_two_adds_up():
    ledger = Ledger({A: says(50, held={B: 7}), B: says(20, held={A: 30})})
    assert (ledger.usage(A), ledger.usage(B)) == (30, 7)
    assert (ledger.held(A), ledger.held(B)) == (7, 30)


def test_a_holder_goes_by_its_own_disk_for_itself():
    ledger = Ledger({B: says(held={A: 10}), C: says(held={A: 10}), D: says(held={A: 10})})
    assert ledger.usage(A, seen_by=B, held_bytes=25) == 45
    assert ledger.usage(A, seen_by=B, held_bytes=0) == 20


def test_a_newcomer_may_take_its_offer_up_to_the_start_credit():
    assert credit_for(10 * GB, 0) == 10 * GB
    assert credit_for(10**15, 0) == START_CREDIT_BYTES


def test_shown_space_earns_credit_up_to_the_offer():
    assert credit_for(10**15, 50 * GB) == START_CREDIT_BYTES + 100 * GB
    assert credit_for(150 * GB, 50 * GB) == 150 * GB


def test_space_counts_as_shown_when_owner_and_holder_both_say_so():
    ledger = Ledger({A: says(shown={B: 10, C: 10}), B: says(held={A: 7}), C: says(held={A: 99})})
    assert (ledger.shown(B), ledger.shown(C)) == (7, 10)


def test_the_card_goes_before_the_statement():
    statements = {A: says(50), B: says(40)}
    assert Ledger(statements).offer(A) == 50
    assert Ledger(statements, {A: 5, C: 9}).offer(A) == 5
    assert Ledger(statements, {A: 5, C: 9}).credit(C) == 9
    assert Ledger(statements).credit(D) == 0  # nothing is known of it


def test_nobody_known_is_missing_from_the_list():
    ledger = Ledger({A: says(held={B: 1}), C: says(shown={D: 1})}, {E: 1})
    assert ledger.members() == [A, B, C, D, E]


@given(groups, st.sampled_from(EVERYBODY), some_statement)
def test_nobodys_word_about_itself_helps_it(group, member, other_word):
    """Whatever a member says of itself: it takes no less, and has shown no more than before by its
    own word. Only its offer counts, and that never beyond what was shown."""
    silent = {one: said for one, said in group.items() if one != member}
    lying = {**silent, member: other_word}
    quiet = {**silent, member: says(other_word.offer_bytes)}
    for one in (member,):
        assert Ledger(lying).usage(one) == Ledger(quiet).usage(one)
    told_by_others = sum(
        dealing.shown_bytes
        for said in silent.values()
        for dealing in said.dealings
        if dealing.member == member
    )
    assert Ledger(lying).shown(member) <= told_by_others
    assert Ledger(lying).credit(member) <= START_CREDIT_BYTES + 2 * told_by_others


@given(groups, st.sampled_from(EVERYBODY), st.sampled_from(EVERYBODY), some_statement)
def test_one_liar_cannot_lift_anothers_usage_beyond_bounds(group, liar, owner, lie):
    """What honest holders say, and once more twice the most that one of them says: no further."""
    if liar == owner or len(set(group) - {liar, owner}) == 0:
        return
    honest = {one: said for one, said in group.items() if one != liar}
    claims = {
        one: sum(d.held_bytes for d in said.dealings if d.member == owner)
        for one, said in honest.items()
        if one != owner
    }
    usage = Ledger({**honest, liar: lie}).usage(owner)
    assert usage <= sum(claims.values()) + CLAIM_FACTOR * max(claims.values())


@given(groups, st.sampled_from(EVERYBODY), some_statement)
def test_nobody_lifts_the_usage_of_who_has_stored_nothing(group, liar, lie):
    fresh = MemberId(b"f" * 32)
    witness = {MemberId(b"w" * 32): says()}
    lying = {liar: says(held={fresh: 10**15})}
    assert Ledger({**group, **witness, **lying}).usage(fresh) == 0


@given(groups, st.sampled_from(EVERYBODY), st.sampled_from(EVERYBODY), some_statement)
def test_a_holders_own_figure_cannot_be_talked_away(group, holder, owner, lie):
    ledger = Ledger({**group, holder: lie})
    assert ledger.usage(owner, seen_by=holder, held_bytes=123) >= 123


@settings(max_examples=50)
@given(groups, st.randoms(use_true_random=False))
def test_everybody_comes_to_the_same_figures(group, chance):
    turned = list(group.items())
    chance.shuffle(turned)
    one, other = Ledger(group), Ledger(dict(turned))
    assert [one.account(m) for m in one.members()] == [other.account(m) for m in other.members()]
