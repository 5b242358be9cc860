"""What is written for each file manager, read as that file manager reads it."""

from __future__ import annotations

import ast
import configparser
import plistlib
import shlex
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gui.integration import (
    autostart,
    desktop,
    dolphin,
    macos,
    nautilus,
    nemo,
    pcmanfm,
    quoting,
    scripts,
    thunar,
    windows,
)
from gui.integration.catalogue import command, parts
from gui.integration.plan import ENTRIES, Command, Piece, Places

HOME = Path("/home/anna")
PLACES = Places.of(HOME, {})
AWKWARD = Command(('/opt/my $tools/100% "it\'s" \\covey', "--home", "/home/anna/a b"))
words = st.lists(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
    min_size=1,
)


def ini(content: bytes) -> configparser.ConfigParser:
    parser = configparser.RawConfigParser(strict=True, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(content.decode())
    return parser


def pieces(part) -> dict[str, Piece]:
    return {each.path.name: each for each in part.pieces if isinstance(each, Piece)}


def read_desktop_exec(line: str) -> list[str]:
    """Exec= as the specification says: the string's escapes first, then the quoting."""
    text = ""
    letters = iter(line)
    for letter in letters:
        escaped = {"\\": "\\", "n": "\n", "t": "\t", "r": "\r", "s": " "}
        text += escaped[next(letters)] if letter == "\\" else letter
    found, word, quoted, letters = [], None, False, iter(text)
    for letter in letters:
        if letter == '"':
            quoted, word = not quoted, word or ""
        elif quoted and letter == "\\":
            word = (word or "") + next(letters)
        elif letter == " " and not quoted:
            found.append(word)
            word = None
        else:
            assert quoted or letter not in "\t\n'\\<>~|&;$*?#()`"
            word = (word or "") + letter
    found.append(word)
    return [(one or "").replace("%%", "%") for one in found]


@given(words)
def test_a_desktop_entry_gives_back_any_words(given_words):
    assert read_desktop_exec(quoting.for_desktop_entry(given_words)) == given_words


@given(words)
def test_an_action_gives_back_any_words(given_words):
    line = quoting.for_action(given_words)
    assert [one.replace("%%", "%") for one in shlex.split(line)] == given_words


def test_places_follow_the_xdg_variables_that_are_absolute():
    given_places = Places.of(
        HOME, {"XDG_CONFIG_HOME": "/c", "XDG_DATA_HOME": "relative", "XDG_CONFIG_DIRS": "/s:/t"}
    )
    assert given_places == Places(HOME, Path("/c"), HOME / ".local/share", Path("/s"))
    assert Places.of(HOME, {}).system_config == Path("/etc/xdg")


def test_covey_is_started_by_its_absolute_path_and_for_the_folder_that_was_named():
    assert command("/bin/covey", "/bin/python", "").words == ("/bin/covey",)
    assert command(None, "/bin/python", "/m").words == (
        *("/bin/python", "-m", "peer", "--home", "/m"),
    )


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_every_system_gets_its_file_manager_and_the_login(platform):
    found = parts(platform, PLACES, AWKWARD)
    assert "login" in [part.name for part in found]
    paths = [each.path for part in found for each in part.pieces]
    assert len(paths) == len(set(paths))
    assert all(path.is_relative_to(HOME) for path in paths)


def test_thunar_gets_two_actions_for_everything_that_can_be_selected():
    root = ET.fromstring(thunar.with_actions(None, AWKWARD))
    assert [one.findtext("name") for one in root] == [entry.name for entry in ENTRIES]
    line = root[0].findtext("command") or ""
    assert line.endswith(" %F")
    assert tuple(shlex.split(line[:-3].replace("%%", "%"))) == AWKWARD.chosen("mark")
    kinds = {one.tag for one in root[0] if one.text is None}
    assert {"directories", "image-files", "other-files", "text-files"} <= kinds


def test_thunar_keeps_the_persons_actions_and_translations():
    theirs = (
        '<?xml version="1.0"?><!DOCTYPE actions [<!ELEMENT actions (action)+>]>'
        "<actions><!-- mine --><action><name>Größe</name>"
        '<name xml:lang="de">Grösse</name><unique-id>1-1</unique-id></action></actions>'
    ).encode()
    ours = thunar.with_actions(theirs, AWKWARD)
    assert thunar.with_actions(ours, AWKWARD) == ours
    rest = thunar.without_actions(ours)
    assert "Größe" in rest.decode()
    assert 'xml:lang="de"' in rest.decode()
    assert "<!-- mine -->" in rest.decode()
    assert b"Covey" not in rest
    assert thunar.without_actions(theirs) == theirs


@pytest.mark.parametrize("content", [b"", b"<actions>", b"<other/>", b"\xff\xfe", b"a" * 2**21])
def test_thunars_file_is_refused_when_it_is_not_one(content):
    with pytest.raises(ValueError, match="it is no"):
        thunar.with_actions(content, AWKWARD)


def test_nemo_gets_one_action_file_for_each_entry():
    found = pieces(nemo.part(PLACES, AWKWARD))
    action = ini(found["covey-unmark.nemo_action"].content)["Nemo Action"]
    assert action["Name"] == "Stop backing up"
    assert action["Selection"] == "notnone"
    assert action["Extensions"] == "any;"
    line = action["Exec"].removesuffix(" %F").replace("%%", "%")
    assert tuple(shlex.split(line)) == AWKWARD.chosen("unmark")


def test_dolphin_trusts_the_service_menu_and_finds_both_actions():
    (piece,) = dolphin.part(PLACES, AWKWARD).pieces
    assert isinstance(piece, Piece)
    assert piece.executable
    menu = ini(piece.content)
    assert menu["Desktop Entry"]["X-KDE-ServiceTypes"] == "KonqPopupMenu/Plugin"
    assert menu["Desktop Entry"]["Actions"] == "mark;unmark;"
    line = menu["Desktop Action mark"]["Exec"].removesuffix(" %F")
    assert tuple(read_desktop_exec(line)) == AWKWARD.chosen("mark")


def test_pcmanfm_gets_actions_with_a_profile():
    found = pieces(pcmanfm.part(PLACES, AWKWARD))
    action = ini(found["covey-mark.desktop"].content)
    assert action["Desktop Entry"]["Type"] == "Action"
    profile = action["X-Action-Profile " + action["Desktop Entry"]["Profiles"].rstrip(";")]
    assert profile["Exec"].endswith(" %F")


def test_a_script_gets_the_selected_paths_whatever_is_in_their_names(tmp_path):
    told = tmp_path / "told"
    program = tmp_path / "my covey"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{told}"\n')
    program.chmod(0o755)
    script = tmp_path / "script"
    script.write_bytes(scripts.script("mark", "SELECTED", Command((str(program),))))
    subprocess.run(
        ["/bin/sh", script, "ignored"],
        env={"SELECTED": "/a b/é*\n/c$d\n", "PATH": "/usr/bin:/bin"},
        check=True,
        timeout=20,
    )
    assert told.read_text().splitlines() == ["picked", "mark", "/a b/é*", "/c$d"]
    subprocess.run(["/bin/sh", script, "one file"], env={"PATH": "/bin"}, check=True, timeout=20)
    assert told.read_text().splitlines() == ["picked", "mark", "one file"]


@pytest.mark.parametrize(("make", "library"), [("nautilus", "Nautilus"), ("caja", "Caja")])
def test_the_extension_is_python_that_needs_nothing_of_covey(make, library):
    part = getattr(nautilus, make)(PLACES, AWKWARD)
    tree = ast.parse(pieces(part)["covey_menu.py"].content)
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert imported == ["gi.repository"]
    assert library in ast.unparse(tree)
    given_words = next(n for n in tree.body if isinstance(n, ast.Assign)).value
    assert tuple(ast.literal_eval(given_words)) == AWKWARD.words


def test_covey_links_open_covey_and_the_menu_opens_its_window():
    found = pieces(desktop.part(PLACES, AWKWARD))
    opener = ini(found["covey-open.desktop"].content)["Desktop Entry"]
    assert opener["MimeType"] == "x-scheme-handler/covey;"
    assert tuple(read_desktop_exec(opener["Exec"].removesuffix(" %u"))) == AWKWARD.to("open")
    program = ini(found["covey.desktop"].content)["Desktop Entry"]
    assert tuple(read_desktop_exec(program["Exec"])) == AWKWARD.words
    assert ET.fromstring(found["covey.svg"].content).tag.endswith("svg")
    assert ET.fromstring(found["emblem-covey-marked.svg"].content).tag.endswith("svg")


def test_the_choice_of_programs_keeps_what_the_person_chose():
    theirs = b"[Default Applications]\ntext/plain=vi.desktop\n\n[Added Associations]\na=b;\n"
    ours = desktop.with_handler(theirs)
    assert desktop.with_handler(ours) == ours
    assert desktop.without_handler(ours) == theirs
    chosen = b"[Default Applications]\nx-scheme-handler/covey=other.desktop\n"
    assert desktop.with_handler(chosen) == chosen
    assert desktop.without_handler(chosen) == chosen


def test_the_agent_starts_at_login_once_and_again_after_a_crash():
    found = pieces(autostart.part(PLACES, Command(("/a b/100%/$x/covey",))))
    unit = ini(found["covey-agent.service"].content)
    assert unit["Service"]["ExecStart"] == '"/a b/100%%/$$x/covey" agent'
    assert unit["Service"]["Restart"] == "on-failure"
    assert ini(found["covey-agent.desktop"].content)["Desktop Entry"]["X-systemd-skip"] == "true"


def test_a_quick_action_is_offered_for_everything_and_runs_the_verb():
    found = macos.finder(HOME, AWKWARD)
    offered = plistlib.loads(found.pieces[0].content)  # type: ignore[union-attr]
    (service,) = offered["NSServices"]
    assert service["NSMenuItem"]["default"] == "Back up with Covey"
    assert service["NSSendFileTypes"] == ["public.item"]
    flow = plistlib.loads(found.pieces[1].content)  # type: ignore[union-attr]
    parameters = flow["actions"][0]["action"]["ActionParameters"]
    assert parameters["inputMethod"] == 1
    assert tuple(shlex.split(parameters["COMMAND_STRING"])) == (
        "exec",
        *AWKWARD.chosen("mark"),
        "$@",
    )
    assert not found.tried


def test_launchd_starts_the_agent_and_starts_it_again_after_a_crash():
    (piece,) = macos.login(HOME, AWKWARD).pieces
    job = plistlib.loads(piece.content)  # type: ignore[union-attr]
    assert tuple(job["ProgramArguments"]) == AWKWARD.to("agent")
    assert job["RunAtLoad"]
    assert job["KeepAlive"] == {"SuccessfulExit": False}


def test_the_registry_file_has_each_entry_for_files_and_folders():
    text = windows.registry(Command((r"C:\my tools\covey.exe",))).decode("utf-16")
    lines = text.split("\r\n")
    assert lines[0] == "Windows Registry Editor Version 5.00"
    assert r"[HKEY_CURRENT_USER\Software\Classes\*\shell\Covey.mark\command]" in lines
    assert r"[HKEY_CURRENT_USER\Software\Classes\Directory\shell\Covey.unmark]" in lines
    assert r'@="\"C:\\my tools\\covey.exe\" picked mark \"%1\""' in lines
    assert text.count("MultiSelectModel") == 4
    gone = windows.registry_without().decode("utf-16")
    assert gone.count("[-HKEY_CURRENT_USER") == 4


def test_the_task_runs_the_agent_at_logon_without_rights_of_an_administrator():
    data = windows.task(Command((r"C:\my tools\covey.exe", "--home", r"C:\a b"))).decode("utf-16")
    root = ET.fromstring(data.partition("?>")[2])
    space = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
    assert root.findtext(".//t:Command", None, space) == r"C:\my tools\covey.exe"
    assert root.findtext(".//t:Arguments", None, space) == r'--home "C:\a b" agent'
    assert root.findtext(".//t:RunLevel", None, space) == "LeastPrivilege"
    assert root.find(".//t:LogonTrigger", space) is not None
