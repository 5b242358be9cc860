from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from peer import service, words
from peer.cli import asking
from peer.cli.app import covey
from peer.cli.running import Wishes
from peer.service import Problem
from peer.state import StateFolder
from tests.support.fake_service import ODD_PATH
from tests.support.terminal import MASTER, SERVER, STRONG, FakeEntry, Terminal, make_member


@pytest.fixture
def entry() -> FakeEntry:
    return FakeEntry()


@pytest.fixture
def newcomer(tmp_path: Path, entry: FakeEntry, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("COVEY_PASSWORD", "COVEY_SERVER", "COVEY_HOME", "COVEY_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return Terminal(tmp_path / "home", entry)


@pytest.fixture
def member(newcomer: Terminal) -> Terminal:
    make_member(newcomer.state)
    return newcomer


@pytest.fixture
def at_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(asking, "interactive", lambda: True)
    return


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    file = tmp_path / "password"
    file.write_text(f"{STRONG}\nand a note\n")
    return str(file)


def join_words(password_file: str, *more: str, group: str = "smiths") -> list[str]:
    known = ["--space", "1MB", "--server", SERVER, "--password-file", password_file]
    return ["join", group, *known, *more]


# --- join ---------------------------------------------------------------------------------------


def test_starting_a_group_prints_the_words_once(newcomer: Terminal, password_file: str):
    result = newcomer(*join_words(password_file, "--create", "--name", "laptop"))
    assert result.exit_code == 0, result.output
    assert "You started «smiths»" in result.stdout
    assert words.numbered(words.words_of(MASTER)) in result.stdout
    wish = newcomer.entry.asked[0]
    assert (wish["name"], wish["space"], wish["password"]) == ("laptop", 10**6, STRONG)


def test_words_go_to_a_file_that_only_the_owner_reads(
    newcomer: Terminal, password_file: str, tmp_path: Path
):
    file = tmp_path / "words"
    result = newcomer(*join_words(password_file, "--create", "--words-file", str(file)))
    assert result.exit_code == 0, result.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert words.master_of(file.read_text()) == MASTER
    assert words.words_of(MASTER)[0] not in result.output


def test_a_words_file_is_never_overwritten_and_nothing_is_joined(
    newcomer: Terminal, password_file: str, tmp_path: Path
):
    file = tmp_path / "words"
    file.write_text("precious")
    result = newcomer(*join_words(password_file, "--create", "--words-file", str(file)))
    assert result.exit_code == 1
    assert "must not be overwritten" in result.stderr
    assert file.read_text() == "precious"
    assert newcomer.entry.asked == []


def test_words_that_cannot_be_written_are_shown_instead(
    newcomer: Terminal, password_file: str, tmp_path: Path
):
    place = tmp_path / "stick"
    place.mkdir()
    newcomer.entry.on_join = place.rmdir  # the stick is pulled out while the computer joins
    result = newcomer(*join_words(password_file, "--create", "--words-file", str(place / "w")))
    assert result.exit_code == 1
    assert words.numbered(words.words_of(MASTER)) in result.stdout
    assert "could not be written" in result.stderr


def test_join_answers_one_json_object(newcomer: Terminal, password_file: str):
    code, answer = newcomer.json(*join_words(password_file, "--create"))
    assert code == 0
    assert answer == {
        "ok": True,
        "group": "smiths",
        "created": True,
        "words": words.words_of(MASTER),
    }


def test_a_script_is_told_to_add_create(newcomer: Terminal, password_file: str):
    result = newcomer(*join_words(password_file))
    assert result.exit_code == 1
    assert "no group «smiths»" in result.stderr
    assert "--create" in result.stderr
    assert newcomer.json(*join_words(password_file))[1]["code"] == "unknown_group"


@pytest.mark.usefixtures("at_terminal")
def test_a_person_is_asked_before_a_group_is_started(newcomer: Terminal, password_file: str):
    declined = newcomer(*join_words(password_file), typed="n\n")
    assert declined.exit_code == 1
    assert "You are the first in «smiths». Start it?" in declined.stderr
    assert newcomer.entry.groups == {}
    agreed = newcomer(*join_words(password_file), typed="y\n")
    assert agreed.exit_code == 0, agreed.output
    assert newcomer.entry.groups == {"smiths": STRONG}


@pytest.mark.usefixtures("at_terminal")
def test_a_typed_password_is_typed_twice_before_a_group_is_started(newcomer: Terminal):
    wish = ["join", "smiths", "--space", "1MB", "--server", SERVER]
    differs = newcomer(*wish, typed=f"{STRONG}\ny\nanother\n")
    assert differs.exit_code == 1
    assert "two passwords differ" in differs.stderr
    same = newcomer(*wish, typed=f"{STRONG}\ny\n{STRONG}\n")
    assert same.exit_code == 0, same.output
    assert STRONG not in same.output


def test_a_weak_password_is_refused_with_a_hint_for_a_new_group_only(
    newcomer: Terminal, tmp_path: Path
):
    weak = tmp_path / "weak"
    weak.write_text("smiths123")
    result = newcomer(*join_words(str(weak), "--create"))
    assert result.exit_code == 1
    assert "guessed too easily" in result.stderr
    assert "four or more words" in result.stderr
    newcomer.entry.groups["smiths"] = "smiths123"
    assert newcomer(*join_words(str(weak), "--create")).exit_code == 0


def test_a_wrong_password_says_so(newcomer: Terminal, password_file: str):
    newcomer.entry.groups["smiths"] = "another"
    result = newcomer(*join_words(password_file))
    assert result.exit_code == 1
    assert "another password" in result.stderr


def test_joining_twice_is_refused(member: Terminal, password_file: str):
    result = member(*join_words(password_file))
    assert result.exit_code == 1
    assert "already in the group «smiths»" in result.stderr


def test_more_space_than_the_disk_has_is_refused(newcomer: Terminal, password_file: str):
    wish = join_words(password_file, "--create")
    wish[wish.index("1MB")] = "9000PB"
    result = newcomer(*wish)
    assert result.exit_code == 1
    assert "You offered 9.0 EB, but the disk" in result.stderr


@pytest.mark.parametrize(
    ("missing", "said"),
    [("--password-file", "There is no password"), ("--space", "--space")],
)
def test_what_a_script_forgot_is_a_usage_error(
    newcomer: Terminal, password_file: str, missing: str, said: str
):
    wish = join_words(password_file)
    at = wish.index(missing)
    del wish[at : at + 2]
    result = newcomer(*wish)
    assert result.exit_code == 2
    assert said in result.stderr


def test_password_and_server_may_come_from_the_environment(
    newcomer: Terminal, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COVEY_PASSWORD", STRONG)
    monkeypatch.setenv("COVEY_SERVER", SERVER)
    assert newcomer("join", "smiths", "--space", "1MB", "--create").exit_code == 0
    assert newcomer.entry.asked[0]["password"] == STRONG


# --- recover ------------------------------------------------------------------------------------


def test_recover_reads_the_words_file_that_join_wrote(
    newcomer: Terminal, password_file: str, tmp_path: Path
):
    file = tmp_path / "words"
    file.write_text(words.numbered(words.words_of(MASTER)))
    known = ["--server", SERVER, "--password-file", password_file]
    result = newcomer("recover", "smiths", "--words-file", str(file), *known)
    assert result.exit_code == 0, result.output
    assert result.stdout == "Everything is here again.\n"
    assert newcomer.entry.asked[0]["words"] == words.words_of(MASTER)


def test_recover_names_a_wrong_word(newcomer: Terminal, password_file: str, tmp_path: Path):
    file = tmp_path / "words"
    file.write_text("abandn " * 24)
    known = ["--server", SERVER, "--password-file", password_file]
    result = newcomer("recover", "smiths", "--words-file", str(file), *known)
    assert result.exit_code == 1
    assert "Word 1, «abandn»" in result.stderr
    assert "recovery sheet" in result.stderr


@pytest.mark.usefixtures("at_terminal")
def test_recover_takes_words_on_several_lines(newcomer: Terminal):
    key = words.words_of(MASTER)
    typed = f"{' '.join(key[:10])}\n{' '.join(key[10:])}\n{STRONG}\n"
    result = newcomer("recover", "smiths", "--server", SERVER, typed=typed)
    assert result.exit_code == 0, result.output


# --- marks --------------------------------------------------------------------------------------


def test_marks_are_kept_as_absolute_paths(
    member: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    assert member("mark", "photos").exit_code == 0
    code, answer = member.json("marks")
    assert (code, answer) == (0, {"ok": True, "marks": [str(tmp_path / "photos")]})
    assert member("unmark", "photos").exit_code == 0
    assert "Nothing is marked" in member("marks").stdout


def test_what_is_not_there_is_not_marked(member: Terminal):
    result = member("mark", "/no/such/folder")
    assert result.exit_code == 1
    assert member.entry.service.kept == []
    assert member("unmark", "/no/such/folder").exit_code == 1


def test_a_computer_in_no_group_is_told_to_join(newcomer: Terminal):
    result = newcomer("marks")
    assert result.exit_code == 1
    assert "in no group yet" in result.stderr
    assert "covey join" in result.stderr


# --- long work ----------------------------------------------------------------------------------


def test_backup_tells_the_outcome_on_stdout_and_the_way_on_stderr(member: Terminal):
    result = member("backup")
    assert result.exit_code == 0, result.output
    assert result.stdout == "All 3 files are safe.\n"
    assert "Sending: 3 of 3 files · 1.0 MB of 3.0 MB" in result.stderr
    assert "note: /home/ann/caf\\xe9\\x1b[2J: could not be read" in result.stderr


def test_a_backup_that_is_not_safe_exits_1(member: Terminal):
    member.entry.service.events[-1] = service.done(
        ok=False, message="2 of 6 friends are missing.", next_step="Ask them to come online."
    )
    result = member("backup")
    assert result.exit_code == 1
    assert "2 of 6 friends are missing.\nAsk them to come online." in result.stderr
    code, answer = member.json("backup")
    assert code == 1
    assert (answer["ok"], answer["next_step"]) == (False, "Ask them to come online.")


def test_json_of_long_work_is_one_object_with_the_notes(member: Terminal):
    code, answer = member.json("restore", "latest", "--to", "/tmp/x", "a", "--overwrite", "never")
    assert code == 0
    assert answer["notes"] == [{"path": ODD_PATH, "text": "could not be read"}]
    assert answer["summary"] == {"files": 3}
    asked = member.entry.service.calls[-1]
    assert asked == ("restore", ("latest", "/tmp/x", [os.path.abspath("a")], "never", False))


def test_a_restore_goes_to_a_folder_or_in_place_and_to_one_of_them(member: Terminal):
    assert member("restore", "latest", "--in-place", "--dry-run").exit_code == 0
    assert member.entry.service.calls[-1] == ("restore", ("latest", "/", [], "always", True))
    for options in ((), ("--to", "/tmp/x", "--in-place")):
        result = member("restore", "latest", *options)
        assert result.exit_code == 2
        assert "--to FOLDER or --in-place" in result.stderr


def test_backup_wait_lets_other_work_end_first(member: Terminal, monkeypatch: pytest.MonkeyPatch):
    from peer.cli import work

    monkeypatch.setattr(work, "BUSY_RETRY_S", 0.01)
    fake = member.entry.service
    fake.problem = Problem("Covey is busy restoring.", code="busy")
    assert member("backup").exit_code == 1
    timer = threading.Timer(0.1, setattr, (fake, "problem", None))
    timer.start()
    result = member("backup", "--wait")
    timer.join()
    assert result.exit_code == 0, result.output


def test_backup_wait_does_not_wait_for_friends_who_are_not_there(member: Terminal):
    member.entry.service.events = [service.done(ok=False, message="Too few friends.")]
    result = member("backup", "--wait")
    assert result.exit_code == 1
    assert "Too few friends." in result.stderr


def test_check_tells_the_outcome(member: Terminal):
    assert member("check").exit_code == 0
    assert member.entry.service.calls == [("check", ("listings", 100))]


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (["--read-data"], ("data", 100)),
        (["--read-data", "--percent", "12.5"], ("data", 12.5)),
        (["--drill"], ("drill", 100)),
        (["--rebuild"], ("rebuild", 100)),
    ],
)
def test_check_asks_for_what_its_options_say(
    member: Terminal, options: list[str], asked: tuple[str, float]
):
    assert member("check", *options).exit_code == 0
    assert member.entry.service.calls == [("check", asked)]


@pytest.mark.parametrize(
    "options",
    [
        ["--percent", "5"],
        ["--read-data", "--percent", "0"],
        ["--read-data", "--percent", "101"],
        ["--read-data", "--drill"],
        ["--drill", "--rebuild"],
    ],
)
def test_check_options_that_do_not_go_together_are_a_usage_error(
    member: Terminal, options: list[str]
):
    assert member("check", *options).exit_code == 2
    assert member.entry.service.calls == []


def test_status_tells_of_the_last_drill(member: Terminal):
    assert "The restore drill brought back 20 files" in member("status").stdout
    drill = member.json("status")[1]["drill"]
    assert drill["ok"]


def test_a_problem_is_told_with_its_next_step(member: Terminal):
    member.entry.service.problem = Problem("No friend is online.", "Try later.", code="alone")
    result = member("backup")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "No friend is online.\nTry later.\n"
    code, answer = member.json("backup")
    assert code == 1
    assert answer == {
        "ok": False,
        "error": "No friend is online.",
        "next_step": "Try later.",
        "code": "alone",
    }


def test_a_fault_of_ours_is_owned_up_to(member: Terminal):
    member.entry.problem = ExceptionGroup("tasks", [KeyError("x")])
    result = member("status")
    assert result.exit_code == 1
    assert "a fault of its own: KeyError: 'x'" in result.stderr


def test_a_folder_that_another_command_works_in_is_not_touched(
    member: Terminal, monkeypatch: pytest.MonkeyPatch
):
    from peer.cli import running

    monkeypatch.setattr(running, "AGENT_START_S", 0.05)
    with member.state.lock():
        result = member("status")
    assert result.exit_code == 1
    assert f"(process {os.getpid()})" in result.stderr


# --- looking ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["status"], "All 3 files are safe with 2 friends.\n! bob was not seen for 5 days."),
        (["status"], "Room           You can back up 4.0 GB more."),
        (["status"], "               Friends showed 4."),
        (
            ["friends"],
            "bob\\x1b[31m  yes     5.0 GB      12        48.0 MB    1.0 GB    93%    100%  aiortc",
        ),
        (["friends"], "cy has been away for 2 days."),
        (
            ["space"],
            "You can back up 4.0 GB more; give 5.0 GB more to the group for 2.5 GB.\n! You",
        ),
        (["space"], "More is bound by        what you give"),
        (
            ["space", "--ledger"],
            "laptop (you)  10.0 GB  1.0 GB  2.0 GB     500 MB   10.0 GB  no. 7",
        ),
        (
            ["space", "--ledger"],
            "laptop says: I keep 1.0 GB for bob\\x1b, who has shown to keep 48.0 MB for me.",
        ),
        (["snapshots"], "efefefefefef"),
        (["space"], "Your shares at friends    2.0 GB"),
        (["ls", "latest"], "-> a\\nb"),
        (["ls", "latest", "/home"], "-rw-r--r--      12 B"),
        (["find", "*.jpg"], "/home/ann/a.jpg"),
    ],
)
def test_a_look_prints_text_that_no_terminal_obeys(
    member: Terminal, arguments: list[str], said: str
):
    result = member(*arguments)
    assert result.exit_code == 0, result.output
    assert said in result.stdout
    assert "\x1b" not in result.stdout
    code, answer = member.json(*arguments)
    assert (code, answer["ok"]) == (0, True)


def test_what_is_found_stands_in_columns(member: Terminal):
    head, *lines = member("find", "*.jpg").stdout.splitlines()
    assert [line.index("/home/ann/a.jpg") for line in lines] == [head.index("PATH")]


def test_find_without_a_match_exits_1(member: Terminal):
    assert member("find", "nothing").exit_code == 1
    assert member.json("find", "*.jpg")[1]["found"][0]["path"] == "/home/ann/a.jpg"


def test_global_options_are_taken_before_and_after_the_verb(entry: FakeEntry, tmp_path: Path):
    make_member(StateFolder(tmp_path))
    for arguments in (
        ["--json", "--home", str(tmp_path), "status"],
        ["status", "--json", "--home", str(tmp_path)],
    ):
        result = CliRunner().invoke(covey, arguments, obj=Wishes(entry=lambda: entry))
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["group"] == "smiths"


def test_agent_runs_until_it_is_done(member: Terminal):
    assert member("agent").exit_code == 0
    assert member.entry.agents == 1
    assert member.entry.scheduled


def test_an_agent_can_be_told_to_let_no_backup_come_by_itself(member: Terminal):
    assert member("agent", "--no-schedule").exit_code == 0
    assert not member.entry.scheduled


def test_an_agent_can_be_told_to_take_over_from_another_computer(member: Terminal):
    assert member("agent", "--take-over").exit_code == 0
    assert member.entry.take_over


def test_nobody_leaves_without_being_asked_or_saying_so(member: Terminal, at_terminal):
    result = member("leave", typed="n\n")
    assert result.exit_code == 1
    assert "Nothing was changed" in result.stderr
    assert member.entry.service.calls == []
    assert member("leave", typed="y\n").exit_code == 0
    assert member.json("leave", "--yes", "--now")[0] == 0
    assert member.entry.service.calls == [("leave", False), ("leave", True)]


def test_a_script_has_to_say_that_leaving_is_meant(member: Terminal):
    code, answer = member.json("leave")
    assert (code, answer["code"]) == (1, "not_agreed")
    assert "--yes" in answer["next_step"]
    assert member.entry.service.calls == []


def test_backups_that_come_by_themselves_are_told_of_and_switched(member: Terminal):
    assert "The next backup is due" in member("nights").stdout
    assert "only when you ask: covey backup" in member("nights", "off").stdout
    assert member.json("nights")[1]["by_itself"] is False
    assert member.json("nights", "on")[1]["by_itself"] is True
    assert member.entry.service.calls == [("set_schedule", False), ("set_schedule", True)]


def test_space_is_given_by_a_word(member: Terminal):
    assert member.json("space", "--give", "20GB")[1]["offer_bytes"] == 10**10
    assert member.entry.service.calls == [("set_space", 20 * 10**9)]


def test_help_names_every_verb():
    text = CliRunner().invoke(covey, ["--help"]).stdout
    verbs = [line.split()[0] for line in text.partition("Commands:")[2].splitlines() if line]
    assert verbs == [
        *("join", "agent", "mark", "unmark", "marks", "backup", "status", "friends", "snapshots"),
        *("space", "ls", "find", "restore", "recover", "check", "keep", "confirm", "forget"),
        *(
            "doctor",
            "ignore",
            "limit",
            "nights",
            "pause",
            "activity",
            "move-server",
            "leave",
            "serve",
            "integrate",
            "open",
        ),
        *("sim", "url"),
    ]


def test_what_is_left_out_is_told_added_to_and_taken_from(member: Terminal):
    assert "*.tmp" in member("ignore").stdout
    assert member.json("ignore", "target/", "*.tmp")[1]["patterns"] == ["target/", "*.tmp"]
    assert member.json("ignore", "--remove", "*.tmp")[1]["patterns"] == ["target/"]
    assert "is not left out" in member("ignore", "--remove", "*.tmp").stderr
    member("ignore", "--remove", "target/")
    assert "Nothing is left out." in member("ignore").stdout
    assert "Nothing of the usual sort" in member("ignore", "--suggest").stdout


def test_limits_are_told_and_changed(member: Terminal):
    told = member("limit").stdout
    assert "Backups take what nobody else uses." in told
    assert "Limit out  5 Mbit/s" in told
    assert "Now        2 Mbit/s out, 80 Mbit/s in" in told
    assert member.json("limit", "--up", "5Mbit", "--fixed")[1]["up_bytes_per_s"] == 625_000.0
    assert member.entry.service.calls == [("set_limits", ("5Mbit", "", False))]


def test_moving_the_group_tells_how_long_the_old_server_is_needed(member: Terminal):
    told = member("move-server", "https://new.example")
    assert "The group is at https://new.example now." in told.stdout
    assert "leave it running" in told.stdout
    alone = member("move-server", "lan", "--alone", "--json")
    assert json.loads(alone.stdout) == {"ok": True, "server": "lan"}
