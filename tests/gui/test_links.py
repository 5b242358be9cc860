"""Invitations: what is written is what is read, and nothing odd is believed."""

from __future__ import annotations

import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gui import links
from gui.links import Invitation

NAMES = (
    st.text(min_size=1, max_size=60)
    .filter(str.isprintable)
    .map(lambda name: name.strip().strip("/").strip())
    .filter(bool)
)
SERVERS = st.sampled_from(["", "https://example.org", "http://127.0.0.1:8000/a?b=c&d=%20#e"])


@given(NAMES, SERVERS)
def test_what_is_written_is_read(group: str, server: str):
    invitation = Invitation(group, server)
    assert links.read(links.write(invitation)) == invitation


def invitation_or_refusal(link: str) -> Invitation | str:
    try:
        return links.read(link)
    except ValueError as error:
        return str(error)


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused_with_a_clause(text: str):
    for link in (text, f"covey:{text}", f"covey:a?server={text}", f"covey://{text}"):
        found = invitation_or_refusal(link)
        if isinstance(found, Invitation):
            assert found.group.isprintable()
            assert found.server == "" or found.server.lower().startswith(("http:", "https:"))
        else:
            assert found.startswith(("it ", "its "))


@pytest.mark.parametrize(
    "link",
    [
        "https://example.org",
        "covey:",
        "covey:///",
        "covey:a%00b",
        "covey:a?server=javascript:alert(1)",
        "covey:a?server=file:///etc/passwd",
        "covey:a?password=x",
        "covey:" + "a" * 3000,
        "covey://[",
    ],
)
def test_what_is_no_invitation_is_refused(link: str):
    with pytest.raises(ValueError, match=r"^its? "):
        links.read(link)


def test_links_are_read_in_the_ways_that_browsers_and_telephones_write_them():
    for link in (
        "covey:smiths",
        "covey://smiths",
        "covey://smiths/",
        "COVEY:smiths",
        " covey:smiths\n",
    ):
        assert links.read(link) == Invitation("smiths")


@given(NAMES, SERVERS)
def test_the_page_gets_the_names_whole(group: str, server: str):
    parts = links.page_of(Invitation(group, server)).split("/")
    assert parts[:2] == ["start", "join"]
    assert [urllib.parse.unquote(part) for part in parts[2:]] == [group, *filter(None, [server])]
