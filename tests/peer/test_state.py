from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import keyring.errors
import pytest

from peer import state
from peer.state import (
    AlreadyJoined,
    AlreadyRunning,
    Config,
    NotJoined,
    Secrets,
    StateError,
    StateFolder,
)

CONFIG = Config(
    group="smiths", server="http://here:1", member_name="laptop", offer_bytes=10, created_ns=1
)
SECRETS = Secrets(master=b"m" * 32, group_seed=b"g" * 32, box_key=b"b" * 32, name_id=b"n" * 32)


class FakeKeyring:
    def __init__(self, *, refuses: bool = False) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.refuses = refuses

    def get_password(self, service: str, username: str) -> str | None:
        if self.refuses:
            raise keyring.errors.KeyringLocked("locked")
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.refuses:
            raise keyring.errors.PasswordSetError("no")
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.refuses:
            raise keyring.errors.PasswordDeleteError("no")
        del self.kept[service, username]


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / "home")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_member_that_was_created_is_read_back(folder: StateFolder):
    assert not folder.joined
    folder.create(CONFIG, SECRETS)
    assert folder.joined
    again = StateFolder(folder.home)
    assert again.config() == CONFIG
    assert again.secrets() == SECRETS


def test_nobody_else_may_read_the_folder(folder: StateFolder):
    old = os.umask(0)
    try:
        folder.create(CONFIG, SECRETS)
    finally:
        os.umask(old)
    assert mode_of(folder.home) == 0o700
    assert mode_of(folder.secrets_file) == 0o600
    assert mode_of(folder.config_file) == 0o600


def test_no_secret_is_in_the_config_or_in_what_is_printed(folder: StateFolder):
    folder.create(CONFIG, SECRETS)
    assert b"bWltbW1t"[:4] not in folder.config_file.read_bytes()
    assert repr(SECRETS) == "Secrets()"


def test_an_empty_folder_says_that_it_is_in_no_group(folder: StateFolder):
    with pytest.raises(NotJoined, match="in no group yet"):
        folder.config()
    with pytest.raises(NotJoined):
        folder.secrets()
    assert not folder.home.exists()


def test_a_folder_holds_one_member(folder: StateFolder):
    folder.create(CONFIG, SECRETS)
    with pytest.raises(AlreadyJoined, match="«smiths»"):
        folder.create(CONFIG, SECRETS)


def test_only_what_is_given_changes_in_the_config(folder: StateFolder):
    folder.create(CONFIG, SECRETS)
    changed = folder.update_config(offer_bytes=99)
    assert changed.offer_bytes == 99
    assert changed.member_name == "laptop"
    assert folder.config() == changed
    assert changed.nights
    assert not folder.update_config(nights=False).nights
    assert folder.config().offer_bytes == 99


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"group": 3}', b"\xff\x00"])
def test_a_damaged_config_is_named(folder: StateFolder, damage: bytes):
    folder.create(CONFIG, SECRETS)
    folder.config_file.write_bytes(damage)
    with pytest.raises(StateError, match=r"config\.json is damaged"):
        folder.config()


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"master": "AAAA"}', b"\xff\x00"])
def test_damaged_secrets_are_named_and_recovery_is_offered(folder: StateFolder, damage: bytes):
    folder.create(CONFIG, SECRETS)
    folder.secrets_file.write_bytes(damage)
    with pytest.raises(StateError, match=r"secrets\.json .* `covey recover`"):
        folder.secrets()


def test_a_config_of_a_newer_version_is_not_guessed_at(folder: StateFolder):
    folder.create(CONFIG, SECRETS)
    text = folder.config_file.read_text().replace('"version": 1', '"version": 2')
    folder.config_file.write_text(text)
    with pytest.raises(StateError, match="newer Covey"):
        folder.config()


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="Choose another with --home"):
        StateFolder(tmp_path / "file" / "home").create(CONFIG, SECRETS)


def test_secrets_lie_in_the_keyring_where_there_is_one(tmp_path: Path):
    ring = FakeKeyring()
    folder = StateFolder(tmp_path / "home", keyring=ring)
    folder.create(CONFIG, SECRETS)
    assert not folder.secrets_file.exists()
    assert folder.config().secrets_in == "keyring"
    assert StateFolder(folder.home, keyring=ring).secrets() == SECRETS


def test_a_keyring_that_refuses_is_replaced_by_a_file(tmp_path: Path):
    folder = StateFolder(tmp_path / "home", keyring=FakeKeyring(refuses=True))
    folder.create(CONFIG, SECRETS)
    assert folder.config().secrets_in == "file"
    assert folder.secrets() == SECRETS


def test_a_locked_keyring_is_explained(tmp_path: Path):
    ring = FakeKeyring()
    folder = StateFolder(tmp_path / "home", keyring=ring)
    folder.create(CONFIG, SECRETS)
    ring.refuses = True
    with pytest.raises(StateError, match="unlock it"):
        folder.secrets()
    with pytest.raises(StateError, match="unlock it"):
        StateFolder(folder.home).secrets()


def test_a_folder_that_a_person_named_never_uses_the_keyring(tmp_path: Path):
    folder = StateFolder.at(tmp_path)
    folder.create(CONFIG, SECRETS)
    assert folder.secrets_file.exists()


def test_the_variable_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COVEY_HOME", str(tmp_path / "elsewhere"))
    assert StateFolder.at().home == tmp_path / "elsewhere"
    monkeypatch.delenv("COVEY_HOME")
    assert state.default_home().name == "covey"


def test_one_process_at_a_time_works_in_a_folder(folder: StateFolder):
    assert folder.running_pid() is None
    with folder.lock():
        assert folder.running_pid() == os.getpid()
        with pytest.raises(AlreadyRunning) as caught, folder.lock():
            pass
        assert caught.value.pid == os.getpid()
    assert folder.running_pid() is None
    with folder.lock():
        pass


def test_a_killed_process_leaves_the_folder_free(folder: StateFolder):
    program = (
        "import sys, time; from pathlib import Path; from peer.state import StateFolder\n"
        "with StateFolder(Path(sys.argv[1])).lock(): print('locked', flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder.home)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        assert folder.running_pid() == process.pid
        process.kill()
        process.wait()
    assert folder.running_pid() is None


def test_a_write_replaces_the_whole_file_or_nothing(tmp_path: Path):
    target = tmp_path / "file"
    state.write_atomic(target, b"old")
    state.write_atomic(target, b"new")
    assert target.read_bytes() == b"new"
    assert mode_of(target) == 0o600
    taken = tmp_path / "folder"
    (taken / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="folder"):
        state.write_atomic(taken, b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_what_a_killed_process_had_begun_is_removed_and_nothing_else(tmp_path: Path):
    (tmp_path / "scratch-12ab").mkdir()
    (tmp_path / "scratch-12ab" / "7.0").write_bytes(b"a share")
    (tmp_path / ".root.4711.new").write_bytes(b"half a rec")
    (tmp_path / "root").write_bytes(b"a record")
    (tmp_path / "spool").mkdir()
    state.drop_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root", "spool"]


def test_a_relative_home_does_not_move_with_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    folder = StateFolder(Path("here"))
    monkeypatch.chdir("/")
    assert folder.home == tmp_path / "here"
    assert {folder.catalog.parent, folder.spool.parent, folder.held.parent} == {folder.home}


@pytest.mark.parametrize("refuses", [False, True])
def test_after_wiping_there_is_no_member_and_nothing_of_it_and_all_else_stays(tmp_path, refuses):
    keyring_ = FakeKeyring()
    folder = StateFolder(tmp_path / "home", keyring=keyring_)
    folder.create(CONFIG, SECRETS)
    (folder.held / "abc").mkdir()
    for name in ("root", "catalog.sqlite", "catalog.sqlite-wal", "duty", "leases", "farewells"):
        (folder.home / name).write_bytes(b"x")
    for name in ("mine.txt", "pages.json"):
        (folder.home / name).write_text("stays")
    keyring_.refuses = refuses
    with folder.lock():
        folder.wipe()
    assert not folder.joined
    left = {path.name for path in folder.home.iterdir()}
    assert left == {"lock", "mine.txt", "pages.json"}
    assert bool(keyring_.kept) == refuses
    folder.create(CONFIG, SECRETS)  # and it can become a member again
    assert folder.joined
