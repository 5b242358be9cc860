"""What pages may ask: the member's own service, and what must work before there is a member.

`calls` and `streams` are the whole list. Arguments are checked against a struct each; whatever goes
wrong is a Problem with a sentence and a next step.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from gui.web.chooser import choose_folder, dialog
from gui.web.folders import Suggestions, folders_in
from gui.web.jobs import Jobs
from gui.web.sheet import Sheet
from peer.calls import CALLS, STREAMS
from peer.cli import asking
from peer.cli.explaining import explain
from peer.cli.running import JoinResult
from peer.ports import RunBlocking
from peer.service import Answer, Event, Problem, Service
from peer.state import AlreadyJoined, StateFolder, write_atomic
from peer.words import master_of, words_of

OFFER_PART = 0.25
OFFER_BYTES_MAX = 100 * 10**9
OFFER_BYTES_MIN = 10**9
"""What is proposed: a quarter of the free disk, a round number of gigabytes, 100 GB at most."""


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Join(msgspec.Struct, forbid_unknown_fields=True):
    group: str
    password: str
    space_bytes: int
    name: str = ""
    server: str = ""
    create: bool = False


class _Recover(msgspec.Struct, forbid_unknown_fields=True):
    group: str
    password: str
    words: str
    name: str = ""
    server: str = ""


class _Job(msgspec.Struct, forbid_unknown_fields=True):
    job: str


class _Path(msgspec.Struct, forbid_unknown_fields=True):
    path: str = ""


class _Sheet(msgspec.Struct, forbid_unknown_fields=True):
    later: bool = False
    saved: bool = False


class Entry(Protocol):
    """Becoming a member: `peer.main`."""

    def join(
        self,
        state: StateFolder,
        *,
        group: str,
        password: str,
        space: int,
        name: str,
        server: str | None,
        create: bool,
    ) -> Awaitable[JoinResult]: ...

    def recover(
        self,
        state: StateFolder,
        *,
        group: str,
        words: Sequence[str],
        password: str,
        server: str | None,
        name: str,
        space: int,
    ) -> AsyncIterator[Event]: ...


class Desk:
    """Answers pages for one state folder, before and after it has a member."""

    def __init__(
        self,
        state: StateFolder,
        entry: Entry,
        jobs: Jobs,
        run_blocking: RunBlocking,
        host_name: str,
        suggestions: Suggestions,
    ) -> None:
        self._state, self._entry, self._jobs = state, entry, jobs
        self._run_blocking, self._host_name = run_blocking, host_name
        self._suggestions = suggestions
        self._entering = asyncio.Lock()
        self._joining: set[asyncio.Task[Answer]] = set()
        self.service: Service | None = None
        """The member, once it is at work."""
        self.joined = asyncio.Event()
        """Set when there is a member in the state folder."""
        if state.joined:
            self.joined.set()
        self._own: dict[str, tuple[type[msgspec.Struct], Callable[..., Awaitable[Any]]]] = {
            "join": (_Join, self.join),
            "space_free": (_Nothing, self.space_free),
            "suggest": (_Nothing, self.suggest),
            "folders": (_Path, self.folders),
            "choose_folder": (_Nothing, self.choose),
            "sheet": (_Sheet, self.sheet),
            "cancel": (_Job, self.cancel),
        }

    # --- how everything is ------------------------------------------------------------------

    async def look(self) -> dict[str, Any]:
        """The `state` event."""
        status = None
        if self.service is not None:
            status = {**await self.service.status(), "sheet": self._sheet_state()}
        return {
            "joined": self.joined.is_set(),
            "status": status,
            "jobs": self._jobs.as_answer(),
        }

    # --- asking -----------------------------------------------------------------------------

    def knows(self, method: str) -> bool:
        """Whether `call` takes this method."""
        return method == "recover" or any(method in table for table in (self._own, STREAMS, CALLS))

    async def call(self, method: str, given: object) -> Any:  # noqa: ANN401 - JSON
        """The answer to one call; {"job": id} for long work. Raises Problem."""
        if method in self._own:
            arguments, answer = self._own[method]
            return await self._answer(answer, _checked(given, arguments))
        if method == "recover":
            return {"job": self._jobs.start(method, self._recover(_checked(given, _Recover)))}
        if method in STREAMS:
            wanted = _checked(given, STREAMS[method])
            return {"job": self._jobs.start(method, getattr(self._member(), method)(**wanted))}
        wanted = _checked(given, CALLS[method])
        return await getattr(self._member(), method)(**wanted)

    async def _answer(self, answer: Callable[..., Awaitable[Any]], wanted: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        try:
            return await answer(**wanted)
        except Problem:
            raise
        except Exception as error:
            raise explain(error) from error

    def _member(self) -> Service:
        if self.service is None:
            text = "Covey is still starting." if self.joined.is_set() else "Join a group first."
            raise Problem(text, "Try again in a moment.", code="not_ready")
        return self.service

    # --- becoming a member ------------------------------------------------------------------

    async def join(
        self, group: str, password: str, space_bytes: int, name: str, server: str, create: bool
    ) -> Answer:
        """Make a member here: created, and its words."""
        if not group.strip():
            raise Problem("The group has no name.", "Type the name you agreed on.", code="bad_name")
        if not password:
            raise Problem("The password is missing.", "Type it.", code="empty_password")
        asking.check_fits(space_bytes, self._state.home)
        name = name.strip() or self._host_name
        if create:
            weak = asking.weakness(password, known=[group, name, "covey"])
            if weak is not None:
                raise weak
        # A page that is closed meanwhile must not leave half a member.
        joining = asyncio.create_task(
            self._join(
                group=group,
                password=password,
                space=space_bytes,
                name=name,
                server=server.strip() or None,
                create=create,
            )
        )
        self._joining.add(joining)
        joining.add_done_callback(self._joining.discard)
        return await asyncio.shield(joining)

    async def _join(self, **given: Any) -> Answer:  # noqa: ANN401 - what Entry.join takes
        async with self._becoming():
            found = await self._entry.join(self._state, **given)
        return {"created": found.created, "words": list(found.words)}

    @contextlib.asynccontextmanager
    async def _becoming(self) -> AsyncIterator[None]:
        """One at a time; raises AlreadyJoined rather than give the group another member."""
        async with self._entering:
            if self._state.joined:
                raise AlreadyJoined("This computer is in a group already.")
            try:
                yield
            finally:
                if self._state.joined:
                    self.joined.set()

    async def _recover(self, wanted: dict[str, Any]) -> AsyncIterator[Event]:
        try:
            master_of(wanted["words"])  # says which word is wrong
            async with self._becoming():
                async for event in self._entry.recover(
                    self._state,
                    group=wanted["group"],
                    words=wanted["words"].split(),
                    password=wanted["password"],
                    server=wanted["server"].strip() or None,
                    name=wanted["name"].strip() or self._host_name,
                    space=0,
                ):
                    if event["event"] == "done":  # whoever has the words has the sheet
                        await self._run_blocking(self._keep_sheet_state, "done")
                    yield event
        except Problem:
            raise
        except Exception as error:
            raise explain(error) from error

    async def space_free(self) -> Answer:
        """free_bytes and total_bytes of the disk of the state folder, default_offer_bytes."""
        home = self._state.home
        place = next(folder for folder in (home, *home.parents) if folder.exists())
        disk = await self._run_blocking(shutil.disk_usage, place)
        return {
            "free_bytes": disk.free,
            "total_bytes": disk.total,
            "default_offer_bytes": default_offer(disk.free),
        }

    # --- folders ----------------------------------------------------------------------------

    async def suggest(self) -> list[Answer]:
        """See Suggestions."""
        return await self._run_blocking(self._suggestions.as_answer)

    async def folders(self, path: str) -> Answer:
        """See folders_in."""
        return await self._run_blocking(folders_in, path)

    async def choose(self) -> Answer:
        """path, "" when the person chose none. A Problem where there is no such dialog."""
        words = dialog()
        if words is None:
            text = "This desktop has no dialog for folders."
            raise Problem(text, "Choose from the list.", code="no_chooser")
        return {"path": await choose_folder(words)}

    # --- the recovery sheet -----------------------------------------------------------------

    async def sheet(self, later: bool, saved: bool) -> Answer:
        """words, and state: missing, later or done; `later` and `saved` change it."""
        if later or saved:
            await self._run_blocking(self._keep_sheet_state, "done" if saved else "later")
        return {"words": list((await self.sheet_of()).words), "state": self._sheet_state()}

    async def sheet_of(self) -> Sheet:
        """What is on the sheet. Raises Problem while there is no member."""
        if not self._state.joined:
            raise Problem("There is no member here yet.", "Join a group first.", code="not_joined")
        config = await self._run_blocking(self._state.config)
        secrets = await self._run_blocking(self._state.secrets)
        made = datetime.datetime.fromtimestamp(config.created_ns / 10**9).astimezone()
        return Sheet(config.group, config.member_name, words_of(secrets.master), f"{made:%Y-%m-%d}")

    def _sheet_state(self) -> str:
        try:
            return self._sheet_file.read_text("ascii")
        except OSError:
            return "missing"

    def _keep_sheet_state(self, state: str) -> None:
        write_atomic(self._sheet_file, state.encode("ascii"))

    @property
    def _sheet_file(self) -> Path:
        return self._state.home / "sheet"

    # --- jobs -------------------------------------------------------------------------------

    async def cancel(self, job: str) -> Answer:
        """End a job."""
        self._jobs.cancel(job)
        return {}


def default_offer(free_bytes: int) -> int:
    """What to propose to give of so much free disk."""
    wanted = int(free_bytes * OFFER_PART) // OFFER_BYTES_MIN * OFFER_BYTES_MIN
    return max(min(wanted, OFFER_BYTES_MAX), min(OFFER_BYTES_MIN, free_bytes))


def _checked(given: object, kind: type[msgspec.Struct]) -> dict[str, Any]:
    try:
        return msgspec.structs.asdict(msgspec.convert(given, kind))
    except msgspec.ValidationError as error:
        raise Problem(f"The request is not understood: {error}.", code="bad_request") from error
