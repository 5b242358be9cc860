"""What an entry of a file manager runs, with what a person may have selected."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.terminal import FakeEntry, Terminal, make_member


@pytest.fixture(autouse=True)
def no_desktop(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def newcomer(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path / "state", FakeEntry())


@pytest.fixture
def member(newcomer: Terminal) -> Terminal:
    make_member(newcomer.state)
    newcomer.entry.service.kept = []
    return newcomer


def test_selected_paths_are_marked_and_nothing_is_printed(member: Terminal):
    assert member("picked", "mark", "/a b", "/c").stdout == ""
    assert member.entry.service.kept == ["/a b", "/c"]


def test_of_a_mixed_selection_what_is_marked_is_stopped(member: Terminal):
    member.entry.service.kept = ["/a", "/b"]
    assert member("picked", "unmark", "/a", "/never marked").exit_code == 0
    assert member.entry.service.kept == ["/b"]


def test_what_is_backed_up_with_its_folder_says_so(member: Terminal):
    member.entry.service.kept = ["/home/anna"]
    told = member("picked", "unmark", "/home/anna/letter")
    assert told.exit_code == 1
    assert "This is backed up with /home/anna.\nStop backing that up instead." in told.stderr
    assert "Nothing of this is backed up." in member("picked", "unmark", "/home/annabel").stderr


def test_without_a_group_the_person_is_told_to_join(newcomer: Terminal):
    told = newcomer("picked", "mark", "/a")
    assert told.exit_code == 1
    assert "join" in told.stderr
