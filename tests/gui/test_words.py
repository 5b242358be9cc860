"""The catalogues: nothing is missing, and the pages read what translators wrote."""

from __future__ import annotations

import json
import re
import textwrap

import pytest

from gui import words

PLACE = re.compile(r"\{\w+\}")


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_no_text_of_the_pages_lacks_a_translation(language: str):
    catalog = words.read(language)
    made = words.for_pages(catalog)
    texts = {text if isinstance(text, str) else text[0] for _, text in words.of_pages()}
    assert texts - made.keys() == set(), "run `make words`, and translate what is new"


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_what_the_pages_read_is_made_from_the_catalogue(language: str):
    made = json.loads((words.LOCALE / f"{language}.json").read_text(encoding="utf-8"))
    assert made == words.for_pages(words.read(language)), "run `make words`"


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_a_translation_has_the_places_of_the_text(language: str):
    wrong = [
        message.id
        for message in words.read(language)
        if isinstance(message.id, str)
        and isinstance(message.string, str)
        and message.string
        and not set(PLACE.findall(message.string)) <= set(PLACE.findall(message.id))
    ]
    assert [one for one in wrong if one] == []


def test_texts_are_found_wherever_they_are_called_for():
    found = {text for _, text in words.of_pages()}
    assert "Back up now" in found
    assert ("One folder", "{n} folders") in found  # within a template string
    assert ("one of them awake", "{n} of them awake") in found  # within another call
    assert "Last seen {when}" not in found  # only in a comment


def test_sentences_of_the_agent_are_told_from_other_strings():
    source = '''
    """A docstring is no sentence for people."""
    def f(count):
        raise Problem(f"{count} files are not there.", "Look for them again.")
        run("SELECT everything FROM files WHERE name=?")
        name("no capital letter here.")
        f"{count} {count}."
    '''
    found = list(words.sentences(textwrap.dedent(source)))
    assert sorted(found) == ["Look for them again.", "{a} files are not there."]
