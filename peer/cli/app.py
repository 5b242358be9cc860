"""The command `covey`: its verbs, the options that all have, and how errors are told.

Whatever goes wrong below ends here as one plain sentence and the next step, on standard error, or
as one JSON object with --json. COVEY_DEBUG=1 adds the traceback and debug messages.

The window and the simulator stand above this folder and bring their verbs as entry points of the
group `covey.verbs`, so that nothing here imports them.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from importlib.metadata import entry_points
from typing import Any, TextIO

import click

from peer.cli import (
    doctor,
    history,
    ignore,
    limits,
    looking,
    membership,
    output,
    running,
    serving,
    work,
)
from peer.cli.running import ToldToEnd, Wishes
from peer.finding.order import NotFound
from peer.service import Problem
from peer.state import AlreadyJoined, AlreadyRunning, NotJoined, StateError
from peer.words import WordsError

DEBUG_VARIABLE = "COVEY_DEBUG"
VERBS_OF_OTHERS = "covey.verbs"
WINDOW = "window"


class Covey(click.Group):
    """The group of verbs, in the order in which a person meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if os.environ.get(DEBUG_VARIABLE):
                traceback.print_exc()
            _tell(explain(_innermost(error)), as_json=ctx.ensure_object(Wishes).json)
            raise click.exceptions.Exit(1) from error


@click.command(
    cls=Covey,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("-v", "--verbose", is_flag=True, help="Tell more on standard error.")
@click.option("--browser", is_flag=True, help="Open the pages in the browser, not in a window.")
@click.version_option(package_name="covey", message="covey %(version)s")
@click.pass_context
def covey(ctx: click.Context, verbose: bool, browser: bool) -> None:
    """Back up your files to your friends' computers. Without a command, open the window."""
    _start_logging(verbose=verbose)
    if ctx.invoked_subcommand is not None:
        return
    window = ctx.command.commands.get(WINDOW) if isinstance(ctx.command, click.Group) else None
    if window is None:
        click.echo(ctx.get_help())
        return
    ctx.invoke(window, browser=browser)


covey.params.extend(running.global_options())
for _verb in (
    membership.join,
    running.agent,
    work.mark,
    work.unmark,
    work.marks,
    work.backup,
    looking.status,
    looking.friends,
    looking.snapshots,
    looking.space,
    looking.ls,
    looking.find,
    work.restore,
    membership.recover,
    work.check,
    history.keep,
    history.confirm,
    history.forget,
    doctor.doctor,
    ignore.ignore,
    limits.limit,
    membership.move_server,
    serving.serve,
):
    covey.add_command(_verb)
for _point in entry_points(group=VERBS_OF_OTHERS):
    covey.add_command(_point.load())


def main() -> None:
    """The entry point of the distribution."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:  # a terminal that cannot show a letter must not end a backup
            reconfigure(errors="backslashreplace")
    covey.main(prog_name="covey")


def explain(error: BaseException) -> Problem:
    """What a person should read about `error`, and what they can do."""
    from datachannel.errors import Unavailable
    from datachannel.rendezvous import JoinRefused, Unreachable
    from signaling.stores import StoreError

    if isinstance(error, Problem):
        return error
    if isinstance(error, ToldToEnd | KeyboardInterrupt):
        return Problem("Stopped.", "What was done until now is kept.", code="stopped")
    if isinstance(error, JoinRefused):
        return _refusal(error.code, error.text)
    if isinstance(error, Unreachable):
        step = "Check the address and the network, and whether `covey serve` runs there."
        return Problem(f"The server cannot be reached: {error}.", step, code="unreachable")
    if isinstance(error, NotFound):
        return Problem(str(error), error.next_step, code="no_server")
    if isinstance(error, Unavailable):
        return Problem(f"A friend cannot be reached: {error}.", "Try again.", code="unavailable")
    if isinstance(error, StateError):
        return _state_problem(error)
    if isinstance(error, StoreError):
        step = "Name another folder with --data, or end the server that uses this one."
        return Problem(f"The server's folder cannot be used: {error}.", step, code="store")
    if isinstance(error, WordsError):
        return Problem(str(error), "Compare with your recovery sheet.", code="words")
    if isinstance(error, OSError) and error.strerror:
        name = f"{output.shown(os.fsdecode(error.filename))}: " if error.filename else ""
        return Problem(f"{name}{error.strerror}.", code="system")
    return Problem(
        f"Covey met a fault of its own: {type(error).__name__}: {error}",
        f"Try again; if it stays, report it with what {DEBUG_VARIABLE}=1 prints.",
        code="internal",
    )


def _refusal(code: str, text: str) -> Problem:
    sentences = {
        "unknown_group": (
            "There is no such group at this server yet.",
            "Check how it is written. To start it, add --create.",
        ),
        "wrong_password": (
            "The group has another password.",
            "Ask a friend who is in it, and mind capital letters.",
        ),
        "rate_limited": ("There were too many tries.", "Wait a minute, then try again."),
        "group_full": ("The group is full.", "Start another one, or ask somebody to leave."),
        "server_full": ("The server is full.", "Use another one with --server."),
        "replaced": (
            "Another computer uses the same recovery key and has taken over.",
            "Run this member on one computer only.",
        ),
    }
    sentence, step = sentences.get(code, (f"The server refused: {text}", ""))
    return Problem(sentence, step, code=code)


def _state_problem(error: StateError) -> Problem:
    if isinstance(error, NotJoined):
        step = "Join a group with `covey join`, or name a member's folder with --home."
        return Problem(str(error), step, code="not_joined")
    if isinstance(error, AlreadyJoined):
        step = "For another member, name another folder with --home."
        return Problem(str(error), step, code="already_joined")
    if isinstance(error, AlreadyRunning):
        step = "Wait until it ends. `covey agent` lets several commands work side by side."
        return Problem(str(error), step, code="already_running")
    return Problem(str(error), code="state")


def _innermost(error: BaseException) -> BaseException:
    """The one exception to tell about when a task group raised a bundle of them."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _tell(problem: Problem, *, as_json: bool) -> None:
    if as_json:
        answer = {"ok": False, "error": problem.text, "next_step": problem.next_step}
        output.say(output.as_json({**answer, "code": problem.code}))
        return
    output.warn(output.shown(problem.text))
    if problem.next_step:
        output.warn(output.shown(problem.next_step))


class _ToStderr(logging.StreamHandler[TextIO]):
    """Looks standard error up for each line: a live display swaps it to print above itself."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def _start_logging(*, verbose: bool) -> None:
    ours = logging.getLogger("covey")
    if not ours.handlers:
        handler = _ToStderr()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        ours.addHandler(handler)
    debug = bool(os.environ.get(DEBUG_VARIABLE))
    ours.setLevel(logging.DEBUG if debug else logging.INFO if verbose else logging.WARNING)
