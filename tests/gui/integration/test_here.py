"""What joining puts on this computer by itself."""

import os
from pathlib import Path

import pytest

from gui.integration import here
from gui.integration.here import integrate_new_member
from peer.state import StateFolder


@pytest.fixture
def person(tmp_path, monkeypatch) -> Path:
    """A home of its own, so that nothing of anybody's is touched."""
    for name in list(os.environ):
        if name.startswith("XDG_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("gui.integration.install.run_command", lambda command: None)
    return tmp_path


def entries(person: Path) -> list[str]:
    return sorted(str(path.relative_to(person)) for path in person.rglob("*") if path.is_file())


def test_a_member_in_the_usual_place_has_the_menus_from_then_on(person, monkeypatch):
    state = StateFolder.at(None)
    assert state.is_usual
    assert integrate_new_member(state)
    assert any("nemo/actions" in name for name in entries(person))
    assert any("Thunar/uca.xml" in name for name in entries(person))


def test_a_member_in_a_folder_that_was_named_leaves_nothing_outside_of_it(person):
    state = StateFolder.at(person / "somewhere")
    assert not state.is_usual
    assert not integrate_new_member(state)
    assert entries(person) == []


def test_what_cannot_be_put_there_hinders_nothing(person, caplog, monkeypatch):
    (person / ".local").write_text("in the way")
    assert integrate_new_member(StateFolder.at(None))
    assert here.log.name == "covey.gui"
