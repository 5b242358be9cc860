from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer import words

MASTER = bytes(range(32))


@given(st.binary(min_size=32, max_size=32))
def test_words_bring_the_key_back(master: bytes):
    key = words.words_of(master)
    assert len(key) == 24
    assert words.master_of(" ".join(key)) == master


def test_words_of_the_published_vectors():
    assert words.words_of(bytes(32)) == ["abandon"] * 23 + ["art"]
    assert words.words_of(b"\xff" * 32) == ["zoo"] * 23 + ["vote"]


@pytest.mark.parametrize(
    "change",
    [
        str.upper,
        lambda text: text.replace(" ", ", "),
        lambda text: text.replace(" ", "\r\n"),
        lambda text: f"# my key\n\n  {text}  \n",
        lambda text: "\n".join(f"{n}) {word}" for n, word in enumerate(text.split(), start=1)),
        lambda text: words.numbered(text.split()),
    ],
)
def test_what_hands_and_printers_do_to_words_is_forgiven(change):
    text = " ".join(words.words_of(MASTER))
    assert words.master_of(change(text)) == MASTER


def test_a_wrong_word_is_named_with_its_number_and_its_neighbours():
    key = words.words_of(MASTER)
    key[4] = "abandn"
    with pytest.raises(words.WordsError, match=r"Word 5, «abandn», .* Did you mean abandon"):
        words.master_of(" ".join(key))


@pytest.mark.parametrize(("number", "count"), [(23, "23"), (25, "25"), (0, "0")])
def test_too_few_or_too_many_words_are_counted(number: int, count: str):
    key = (words.words_of(MASTER) * 2)[:number]
    with pytest.raises(words.WordsError, match=rf"has 24 words, and these are {count}\."):
        words.master_of(" ".join(key))


def test_two_words_that_changed_places_are_noticed():
    key = words.words_of(MASTER)
    key[0], key[2] = key[2], key[0]
    with pytest.raises(words.WordsError, match="do not belong together"):
        words.master_of(" ".join(key))


@given(st.text())
def test_any_text_gives_a_key_or_the_one_error(text: str):
    with pytest.raises(words.WordsError):
        words.master_of(text)


def test_the_block_for_the_eye_is_numbered_line_by_line():
    block = words.numbered(words.words_of(bytes(32)))
    assert block.splitlines()[0] == " 1. abandon    2. abandon    3. abandon    4. abandon"
    assert block.splitlines()[-1].endswith("24. art")


def test_a_key_of_another_length_has_no_words():
    with pytest.raises(ValueError, match="32 bytes, not 16"):
        words.words_of(bytes(16))
