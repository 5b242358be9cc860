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
    leaving,
    limits,
    looking,
    membership,
    nights,
    output,
    running,
    serving,
    space,
    work,
)
from peer.cli.explaining import DEBUG_VARIABLE, explain
from peer.cli.running import Wishes
from peer.service import Problem

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
            _tell(_explain(_innermost(error)), as_json=ctx.ensure_object(Wishes).json)
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
    space.friends,
    looking.snapshots,
    space.space,
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
    nights.nights,
    nights.pause,
    nights.activity,
    membership.move_server,
    leaving.leave,
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


def _explain(error: BaseException) -> Problem:
    from signaling.stores import StoreError

    if isinstance(error, StoreError):
        step = "Name another folder with --data, or end the server that uses this one."
        return Problem(f"The server's folder cannot be used: {error}.", step, code="store")
    return explain(error)


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
