"""Installing and removing in a person's folders: twice is once, and theirs stays theirs."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from gui.integration import install as installing
from gui.integration.catalogue import parts
from gui.integration.install import Outcome, installed
from gui.integration.plan import Command, Part, Piece, Places
from peer.cli.app import covey

SYSTEMS_ACTIONS = b"<actions><action><name>Open Terminal Here</name></action></actions>"
START = Command(("/opt/covey",))


@pytest.fixture
def places(tmp_path: Path) -> Places:
    system = tmp_path / "etc"
    (system / "Thunar").mkdir(parents=True)
    (system / "Thunar" / "uca.xml").write_bytes(SYSTEMS_ACTIONS)
    home = tmp_path / "home"
    home.mkdir()
    return Places(home, home / ".config", home / ".local/share", system)


def install(found: list[Part]) -> list[Outcome]:
    return installing.install(found, run=lambda _: None)


def remove(found: list[Part]) -> list[Outcome]:
    return installing.remove(found, run=lambda _: None)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_twice_is_once_and_removing_leaves_no_file(platform, places: Places):
    found = parts(platform, places, START)
    assert not any(installed(part) for part in found)
    assert all(outcome.changed and not outcome.problems for outcome in install(found))
    assert all(installed(part) for part in found)
    assert not any(outcome.changed for outcome in install(found))
    assert files(places.home)
    assert not any(outcome.problems for outcome in remove(found))
    assert files(places.home) == []
    assert not any(outcome.changed for outcome in remove(found))


def test_a_bundle_of_finder_leaves_no_folder(places: Places):
    found = parts("darwin", places, START)
    install(found)
    remove(found)
    assert list((places.home / "Library" / "Services").iterdir()) == []


def test_thunars_own_actions_stay_for_who_had_no_file(places: Places):
    install(parts("linux", places, START))
    text = (places.config / "Thunar/uca.xml").read_text()
    assert "Open Terminal Here" in text
    assert "Back up with Covey" in text


def test_the_persons_actions_come_back_as_they_were_with_their_mode_and_link(places: Places):
    real = places.home / "dotfiles.xml"
    real.write_bytes(b"<actions><action><name>Mine</name></action></actions>")
    real.chmod(0o600)
    link = places.config / "Thunar/uca.xml"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    found = parts("linux", places, START)
    install(found)
    assert "Back up with Covey" in real.read_text()
    remove(found)
    assert link.is_symlink()
    assert "Mine" in real.read_text()
    assert "Covey" not in real.read_text()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


def test_a_file_that_is_not_understood_is_left_alone_and_the_rest_is_done(places: Places):
    path = places.config / "Thunar/uca.xml"
    path.parent.mkdir(parents=True)
    path.write_text("<actions><broken")
    outcomes = install(parts("linux", places, START))
    (problem,) = [text for outcome in outcomes for text in outcome.problems]
    assert "was left alone: it is no XML" in problem
    assert path.read_text() == "<actions><broken"
    assert all(installed(outcome.part) for outcome in outcomes if outcome.part.name != "thunar")


def test_a_covey_that_moved_is_followed(places: Places):
    install(parts("linux", places, START))
    moved = parts("linux", places, Command(("/new/covey",)))
    assert not installed(moved[0])
    install(moved)
    assert all(installed(part) for part in moved)
    assert "/opt/covey" not in (places.config / "Thunar/uca.xml").read_text()


def test_a_place_that_cannot_be_written_is_told(places: Places):
    (places.home / "file").touch()
    part = Part("x", "X", (Piece(places.home / "file" / "below", b""),))
    (outcome,) = install([part])
    assert outcome.problems == (f"{places.home / 'file' / 'below'}: not a directory",)


def test_the_system_is_told_once_and_only_when_something_changed(places: Places):
    told: list[tuple[str, ...]] = []
    found = parts("linux", places, START)
    for _ in range(2):
        installing.install(found, run=lambda command: told.append(tuple(command)))
    assert told.count(("systemctl", "--user", "daemon-reload")) == 1


def test_the_verb_installs_lists_and_removes(tmp_path: Path, monkeypatch):
    for name in os.environ:
        if name.startswith("XDG_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*arguments: str):
        return CliRunner().invoke(covey, ["integrate", *arguments], catch_exceptions=False)

    assert "in the context menu" in run("--only", "nemo").stdout
    there = {p["part"]: p["installed"] for p in json.loads(run("--list", "--json").stdout)["parts"]}
    assert there == {name: name == "nemo" for name in there}
    assert "nemo: Nemo, installed" in run("--list").stdout
    assert "There is no part «emacs»." in run("--only", "emacs").stderr
    assert "Covey is gone" in run("--remove").stdout
    assert files(tmp_path) == []
