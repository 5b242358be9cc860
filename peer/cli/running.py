"""The event loop, signals, and finding the agent or being it; with the verb that stays.

`run` ends cleanly on SIGINT, SIGTERM and SIGHUP: the work is cancelled, everything that it opened
is closed, and `ToldToEnd` is raised. `reach` gives the member's `Service`: the agent's, when one
runs for this folder, else that of a node in this very process for as long as the command lasts.

`Verb` is the click command that all verbs are: it takes --home and --json after its name too.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click

from peer import api
from peer.cli import output
from peer.service import Event, Problem, Service
from peer.state import AlreadyRunning, StateFolder

AGENT_START_S = 10.0  # how long an agent that has just begun may take to open its API
_LOOK_AGAIN_S = 0.1

T = TypeVar("T")


class ToldToEnd(Exception):
    """A signal asked this process to end, and it has stopped working."""


Beside = Callable[[Service], AbstractAsyncContextManager[None]]
"""What runs beside the member for as long as it does: the pages of the window, say."""


class JoinResult(Protocol):
    """What joining gives back."""

    @property
    def words(self) -> Sequence[str]: ...

    @property
    def created(self) -> bool: ...


class Entry(Protocol):
    """The composition root, `peer.main`, as the command line uses it."""

    def open_service(self, state: StateFolder) -> AbstractAsyncContextManager[Service]: ...

    def run_agent(
        self,
        state: StateFolder,
        beside: Beside = ...,
        *,
        scheduled: bool = True,
        take_over: bool = False,
    ) -> Coroutine[Any, Any, None]: ...

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

    def examine_alone(self, state: StateFolder, server: str | None) -> AsyncIterator[Event]: ...


def composition_root() -> Entry:
    """`peer.main`, imported late: it loads WebRTC, which `covey --help` need not wait for."""
    from peer import main

    return main


@dataclass(slots=True)
class Wishes:
    """What the global options say, and the way to everything that is not the command line."""

    home: Path | None = None
    json: bool = False
    entry: Callable[[], Entry] = field(default=composition_root)

    @property
    def state(self) -> StateFolder:
        return StateFolder.at(self.home)


pass_wishes = click.make_pass_decorator(Wishes, ensure=True)


def global_options() -> list[click.Parameter]:
    """--home and --json, for the group and for each verb."""

    def keep(ctx: click.Context, param: click.Parameter, value: object) -> None:
        if value is not None and value is not False:
            setattr(ctx.ensure_object(Wishes), str(param.name), value)

    return [
        click.Option(
            ["--home"],
            type=click.Path(path_type=Path, file_okay=False),
            expose_value=False,
            callback=keep,
            help="The folder that is the whole state of this member (or COVEY_HOME).",
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=keep,
            help="Print one JSON object instead of text.",
        ),
    ]


class Verb(click.Command):
    """A command of `covey`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - click's own arguments
        super().__init__(*args, **kwargs)
        self.params.extend(global_options())


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` in a new event loop; raises `ToldToEnd` when a signal ended it."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_until_told(work))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


async def _until_told(work: Coroutine[Any, Any, T]) -> T:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    told: list[int] = []

    def tell(number: int) -> None:
        told.append(number)
        task.cancel()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32":
        numbers.append(signal.SIGHUP)
    with contextlib.suppress(NotImplementedError, ValueError):  # Windows; not the main thread
        for number in numbers:
            loop.add_signal_handler(number, tell, number)
    try:
        return await work
    except asyncio.CancelledError:
        if told:
            raise ToldToEnd from None
        raise
    finally:
        with contextlib.suppress(NotImplementedError, ValueError):
            for number in numbers:
                loop.remove_signal_handler(number)


@contextlib.asynccontextmanager
async def reach(wishes: Wishes) -> AsyncIterator[Service]:
    """The member's service, from the running agent or from this process."""
    state = wishes.state
    state.config()  # says so first when there is no member here
    async with contextlib.AsyncExitStack() as stack:
        yield await _agent_or_own(wishes, state, stack)


async def _agent_or_own(
    wishes: Wishes, state: StateFolder, stack: contextlib.AsyncExitStack
) -> Service:
    clock = asyncio.get_running_loop()
    deadline = clock.time() + AGENT_START_S
    while True:
        pid = state.running_pid()
        try:
            if pid is None:
                return await stack.enter_async_context(wishes.entry().open_service(state))
            return await stack.enter_async_context(api.connect(state.api_file, pid=pid))
        except AlreadyRunning:
            busy = pid or 0  # another process was faster; it may be an agent
        except Problem as problem:
            if problem.code != "no_agent":
                raise
            busy = pid or 0
        if clock.time() > deadline:
            raise AlreadyRunning(busy)
        await asyncio.sleep(_LOOK_AGAIN_S)


@click.command(cls=Verb)
@click.option("--no-schedule", is_flag=True, help="Let no backup come by itself.")
@click.option(
    "--take-over",
    is_flag=True,
    help="Go on here although another computer backs up with the same recovery words; that one "
    "stops.",
)
@pass_wishes
def agent(wishes: Wishes, no_schedule: bool, take_over: bool) -> None:
    """Be this member, in the foreground, until SIGTERM or Ctrl-C."""
    state = wishes.state
    config = state.config()
    output.warn(
        f"{output.shown(config.member_name)} in «{output.shown(config.group)}»; Ctrl-C ends it."
    )
    with contextlib.suppress(ToldToEnd):
        run(wishes.entry().run_agent(state, scheduled=not no_schedule, take_over=take_over))
