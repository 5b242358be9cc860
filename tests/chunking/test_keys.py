from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chunking import keys


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("Smiths", "smiths"),
        ("  the\t Smiths \n", "the smiths"),
        ("ＳＭＩＴＨＳ", "smiths"),
        ("Straße", "strasse"),
        ("Zoe\u0308", "zo\u00eb"),
        ("smiths@Example.org", "smiths@example.org"),
        ("ﬁnch", "finch"),
    ],
)
def test_spellings_of_one_name_are_one_name(typed, normal):
    assert keys.normalise_group_name(typed) == normal


@given(st.text(max_size=40))
def test_normalising_twice_changes_nothing_more(name):
    try:
        normal = keys.normalise_group_name(name)
    except ValueError:
        return
    assert keys.normalise_group_name(normal) == normal


@pytest.mark.parametrize("name", ["", "  \n ", "a" * 129, "a\x00b", "a\ud800"])
def test_what_cannot_be_a_name_is_refused(name):
    with pytest.raises(ValueError, match="group"):
        keys.normalise_group_name(name)


@pytest.mark.parametrize("password", ["", "\ud800", "x" * 5000])
def test_what_cannot_be_a_password_is_refused(password):
    with pytest.raises(ValueError, match="password"):
        keys.derive_group("smiths", password)


def test_members_of_one_group_derive_the_same_secrets_and_others_do_not():
    ours = keys.derive_group("The Smiths", "caf\u00e9")
    assert ours == keys.derive_group(" the  SMITHS", "cafe\u0301")
    other = keys.derive_group("The Smiths", "tea")
    assert other.name_id == ours.name_id == keys.name_id_of("the smiths")
    assert {other.signing_seed, other.box_key}.isdisjoint({ours.signing_seed, ours.box_key})
    assert [len(ours.name_id), len(ours.signing_seed), len(ours.box_key)] == [32, 32, 32]


def test_a_members_keys_are_all_different_and_go_to_other_processes():
    member = keys.MemberKeys.from_master(b"m" * 32)
    secrets = (member.identity_seed, member.chunk_id_key, member.content_key, member.root_key)
    assert len({*secrets, member.identity_public_key, b"m" * 32}) == 6
    assert pickle.loads(pickle.dumps(member)) == member


def test_a_repr_shows_no_secret():
    member = keys.MemberKeys.from_master(b"m" * 32)
    group = keys.GroupSecrets(b"n" * 32, b"\x01" * 32, b"\x02" * 32)
    assert "seed" not in repr(member)
    assert "_key=" not in repr(member).replace("identity_public_key=", "")
    assert repr(group) == f"GroupSecrets(name_id={b'n' * 32!r})"


def test_a_master_key_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        keys.MemberKeys.from_master(b"short")
