"""The folder that is the whole state of one member.

    config.json     group, server, name, offer; no secret                         0600
    secrets.json    master key, group keys; absent when the OS keyring has them    0600
    api.json        port and token of the running agent                           0600
    lock            held by the one process that works in this folder
    pages.json      port and secret of the agent's pages                           0600
    pages.lock      held by the agent that serves them
    sheet           whether the recovery sheet was kept
    catalog.sqlite  what lies where; can be rebuilt from friends
    root            the newest root record of our own
    spool/          shares that wait for friends who are asleep
    held/           the shares of friends
    statements, farewells, duty, leases     what members of the group have signed, and may do

The folder itself is 0700. Every file is replaced whole: written beside, synced, renamed, and the
folder synced, so that a crash leaves the old or the new one. `lock` is an advisory lock of the
operating system, so a killed process leaves nothing that must be cleaned up.

The OS keyring is used for the default folder only. A folder that was named by a person is the whole
member by promise (it can be moved, or thrown away), so its secrets lie in it.

Not here: the formats of the catalog, the shares and the root record.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import keyring
import keyring.backends.fail
import keyring.errors
import msgspec
import platformdirs

from datachannel.bandwidth import Limits
from peer.finding.servers import Place
from peer.installation import Installation
from peer.locking import try_lock, unlock

CONFIG_VERSION = 1
SCRATCH_PREFIX = "scratch-"
"""Folders of the state folder with what is on its way; nothing in them outlives its job."""
_KEYRING_SERVICE = "covey"
_CATALOG_FILES = [
    f"catalog.sqlite{end}{more}" for end in ("", ".damaged") for more in ("", "-shm", "-wal")
]
_OWN_FILES = (
    *("secrets.json", "root", "api.json", "sheet", "journal.json", "statements"),
    *("farewells", "duty", "leases"),
    *_CATALOG_FILES,
)
_OWN_FOLDERS = ("spool", "held", "server")


class StateError(Exception):
    """The state folder cannot be used; the message says what to do, in plain words."""


class NotJoined(StateError):
    """There is no member in this folder yet."""


class AlreadyJoined(StateError):
    """There is a member in this folder already."""


class AlreadyRunning(StateError):
    """Another process works in this folder; `pid` is 0 when it could not be read."""

    def __init__(self, pid: int) -> None:
        who = f" (process {pid})" if pid else ""
        super().__init__(f"Covey is already at work in this folder{who}.")
        self.pid = pid


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What a member is, without its secrets."""

    version: int = CONFIG_VERSION
    group: str
    server: str
    member_name: str
    offer_bytes: int
    created_ns: int
    secrets_in: str = "file"
    previous_server: str = ""
    moves: int = 0
    up_bytes_per_s: float | None = None
    down_bytes_per_s: float | None = None
    spare: bool = True
    nights: bool = True
    """Whether the agent backs up by itself."""
    installed: int = 0
    started: int = 0
    superseded_by: int = 0

    @property
    def installation(self) -> Installation:
        """Which of the computers with these recovery words this is."""
        return Installation(self.installed or self.created_ns, self.started, self.superseded_by)

    @property
    def limits(self) -> Limits:
        """How much of the line its links may take."""
        return Limits(self.up_bytes_per_s, self.down_bytes_per_s, self.spare)

    @property
    def place(self) -> Place:
        """Where the group is."""
        return Place(self.server, self.previous_server, self.moves)


@dataclass(frozen=True, slots=True)
class Secrets:
    """The keys that a member keeps; never shown, never logged."""

    master: bytes = field(repr=False)
    group_seed: bytes = field(repr=False)
    box_key: bytes = field(repr=False)
    name_id: bytes = field(repr=False)


class Keyring(Protocol):
    """The sliver of the `keyring` package that is used here."""

    def get_password(self, service: str, username: str) -> str | None: ...

    def set_password(self, service: str, username: str, password: str) -> None: ...

    def delete_password(self, service: str, username: str) -> None: ...


def default_home() -> Path:
    """COVEY_HOME, or the place for data of the person's operating system."""
    chosen = os.environ.get("COVEY_HOME")
    return Path(chosen) if chosen else _usual_home()


def _usual_home() -> Path:
    return platformdirs.user_data_path("covey", appauthor=False)


def system_keyring() -> Keyring | None:
    """The keyring of the operating system, or None where there is no real one."""
    try:
        backend = keyring.get_keyring()
        usable = float(backend.priority) >= 1
    except Exception:  # a broken desktop bus must not keep anyone from their backups
        return None
    return None if isinstance(backend, keyring.backends.fail.Keyring) or not usable else backend


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace `path` by `data`: after a crash it holds the old bytes or the new ones, on disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            if sys.platform != "win32":
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def drop_unfinished(folder: Path) -> None:
    """Remove what a process that was killed had begun here. Only for whom the folder is locked."""
    for path in folder.glob(".*.new"):
        path.unlink(missing_ok=True)
    for path in folder.glob(f"{SCRATCH_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable, where the operating system has a way to."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class StateFolder:
    """One member's folder. Making the object touches nothing; `create` and `lock` do."""

    def __init__(self, home: Path, *, keyring: Keyring | None = None) -> None:
        self.home = Path(os.path.abspath(home))  # resolve() would follow links
        self._keyring = keyring

    @classmethod
    def at(cls, home: Path | None = None) -> StateFolder:
        """The folder at `home`, or the default one; the default one uses the OS keyring."""
        folder = cls(home if home is not None else default_home())
        if folder.home == _usual_home():
            folder._keyring = system_keyring()
        return folder

    @property
    def is_usual(self) -> bool:
        """Whether this is the place for data of this system, not one that a person named."""
        return self.home == _usual_home()

    @property
    def catalog(self) -> Path:
        return self.home / "catalog.sqlite"

    @property
    def spool(self) -> Path:
        return self.home / "spool"

    @property
    def held(self) -> Path:
        return self.home / "held"

    @property
    def root_file(self) -> Path:
        return self.home / "root"

    @property
    def api_file(self) -> Path:
        return self.home / "api.json"

    @property
    def lock_file(self) -> Path:
        return self.home / "lock"

    @property
    def config_file(self) -> Path:
        return self.home / "config.json"

    @property
    def secrets_file(self) -> Path:
        return self.home / "secrets.json"

    @property
    def joined(self) -> bool:
        """Whether a member lives here; the config is written last, so this is never half true."""
        return self.config_file.exists()

    def prepare(self) -> None:
        """Make the folder and its sub-folders, closed to everybody else."""
        try:
            self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
            if sys.platform != "win32":
                self.home.chmod(0o700)
            for folder in (self.spool, self.held):
                folder.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise StateError(
                f"The folder {self.home} cannot be used: {error.strerror}. "
                "Choose another with --home."
            ) from error

    def create(self, config: Config, secrets: Secrets) -> Config:
        """Make a member here: secrets first, config last. Raises `AlreadyJoined`."""
        if self.joined:
            raise AlreadyJoined(
                f"This computer is already in the group «{self.config().group}» ({self.home})."
            )
        self.prepare()
        where = "keyring" if self._to_keyring(secrets) else "file"
        if where == "file":
            write_atomic(self.secrets_file, _encode_secrets(secrets).encode())
        config = msgspec.structs.replace(config, secrets_in=where)
        self._write_config(config)
        return config

    def config(self) -> Config:
        """The config; raises `NotJoined`, or `StateError` for one that cannot be read."""
        try:
            data = self.config_file.read_bytes()
        except FileNotFoundError:
            raise NotJoined(f"This computer is in no group yet ({self.home}).") from None
        except OSError as error:
            raise StateError(f"{self.config_file} cannot be read: {error.strerror}.") from error
        try:
            config = msgspec.json.decode(data, type=Config)
        except msgspec.MsgspecError as error:
            raise StateError(f"{self.config_file} is damaged: {error}.") from error
        if config.version > CONFIG_VERSION:
            raise StateError(f"{self.config_file} was written by a newer Covey. Update this one.")
        return config

    def update_config(
        self,
        *,
        place: Place | None = None,
        member_name: str | None = None,
        offer_bytes: int | None = None,
        limits: Limits | None = None,
        nights: bool | None = None,
        installation: Installation | None = None,
    ) -> Config:
        """Change what is given and leave the rest; answers the new config."""
        given: dict[str, object] = {
            "member_name": member_name,
            "offer_bytes": offer_bytes,
            "nights": nights,
        }
        if place is not None:
            given |= {"server": place.url, "moves": place.moves, "previous_server": place.previous}
        if installation is not None:
            given |= {"installed": installation.number, "started": installation.started}
            given |= {"superseded_by": installation.superseded_by}
        changes = {name: value for name, value in given.items() if value is not None}
        if limits is not None:
            changes |= dataclasses.asdict(limits)
        config = msgspec.structs.replace(self.config(), **changes)
        self._write_config(config)
        return config

    def secrets(self) -> Secrets:
        """The member's keys, from the keyring or the file that the config names."""
        if self.config().secrets_in == "keyring":
            return _decode_secrets(self._from_keyring(), "the keyring's entry for Covey")
        try:
            text = self.secrets_file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise StateError(
                f"{self.secrets_file} cannot be read. With your recovery words, `covey recover` "
                "in an empty folder makes it anew."
            ) from error
        return _decode_secrets(text, str(self.secrets_file))

    def lock(self) -> AbstractContextManager[None]:
        """Be the one process that works in this folder; raises `AlreadyRunning` at once."""
        return self.lock_of(self.lock_file.name)

    @contextlib.contextmanager
    def lock_of(self, name: str) -> Iterator[None]:
        """Hold a lock of this folder, a file with the holder's process id; raises as `lock`."""
        self.prepare()
        place = self.home / name
        with place.open("a+b") as file:
            if not try_lock(file):
                raise AlreadyRunning(_pid_in(place))
            file.truncate(0)
            file.write(str(os.getpid()).encode())
            file.flush()
            try:
                yield
            finally:
                file.truncate(0)
                unlock(file)

    def running_pid(self) -> int | None:
        """The process that works in this folder (0 when it does not say), or None."""
        if not self.lock_file.exists():
            return None
        try:
            with self.lock_file.open("a+b") as file:
                if not try_lock(file):
                    return _pid_in(self.lock_file)
                unlock(file)
        except OSError:
            return None
        return None

    def forget(self) -> None:
        """Be no member any more, durably."""
        self.config_file.unlink(missing_ok=True)
        sync_folder(self.home)

    def wipe(self) -> None:
        """The same, and let the keys and all that was kept go; nothing that Covey has not put
        there. Hold the lock meanwhile."""
        self.forget()
        if self._keyring is not None:
            with contextlib.suppress(keyring.errors.KeyringError):
                self._keyring.delete_password(_KEYRING_SERVICE, self._keyring_user())
        for name in _OWN_FILES:
            (self.home / name).unlink(missing_ok=True)
        for name in _OWN_FOLDERS:
            shutil.rmtree(self.home / name, ignore_errors=True)
        drop_unfinished(self.home)

    def _write_config(self, config: Config) -> None:
        write_atomic(self.config_file, msgspec.json.format(msgspec.json.encode(config), indent=2))

    def _keyring_user(self) -> str:
        return hashlib.blake2b(os.fsencode(self.home), digest_size=16).hexdigest()

    def _to_keyring(self, secrets: Secrets) -> bool:
        if self._keyring is None:
            return False
        text = _encode_secrets(secrets)
        try:
            self._keyring.set_password(_KEYRING_SERVICE, self._keyring_user(), text)
            return self._keyring.get_password(_KEYRING_SERVICE, self._keyring_user()) == text
        except keyring.errors.KeyringError:
            return False  # locked or refused: the file is as good as before

    def _from_keyring(self) -> str:
        text: str | None = None
        if self._keyring is not None:
            with contextlib.suppress(keyring.errors.KeyringError):
                text = self._keyring.get_password(_KEYRING_SERVICE, self._keyring_user())
        if text is None:
            raise StateError(
                "The keys of this member lie in the keyring of your desktop, which does not give "
                "them out. Log in to the desktop and unlock it."
            )
        return text


def _pid_in(lock: Path) -> int:
    try:
        return int(lock.read_bytes()[:20] or b"0")
    except (OSError, ValueError):
        return 0


def _encode_secrets(secrets: Secrets) -> str:
    names = Secrets.__dataclass_fields__
    return json.dumps({name: base64.b64encode(getattr(secrets, name)).decode() for name in names})


def _decode_secrets(text: str, where: str) -> Secrets:
    try:
        secrets = msgspec.convert(msgspec.json.decode(text), Secrets)
        if any(len(getattr(secrets, name)) != 32 for name in Secrets.__dataclass_fields__):
            raise msgspec.ValidationError("a key has another length")
        return secrets
    except msgspec.MsgspecError as error:
        raise StateError(
            f"{where} is damaged. With your recovery words, `covey recover` in an empty folder "
            "makes it anew."
        ) from error
