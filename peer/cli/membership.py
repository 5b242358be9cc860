"""`covey join` and `covey recover`: how a computer becomes a member.

A group that nobody has started is made only when the person agrees, so that a typing mistake does
not silently make an empty one; and only then the password must be a strong one.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import click

from datachannel.rendezvous import JoinRefused
from peer import words
from peer.cli import asking, output, progress, running
from peer.cli.running import JoinResult, Verb, Wishes, pass_wishes
from peer.service import Problem
from peer.state import StateFolder

SERVER_VARIABLE = "COVEY_SERVER"

_password_file = click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="The group password is the first line of this file; - is standard input.",
)
_server = click.option(
    "--server",
    envvar=SERVER_VARIABLE,
    metavar="URL",
    help=f"The group's server (or {SERVER_VARIABLE}), or `lan`. Without it the domain in the "
    "group's name is asked, as in smiths@example.org, or else the local network.",
)
_name = click.option("--name", help="What friends call this computer; its host name otherwise.")


@click.command(cls=Verb)
@click.argument("group")
@click.option(
    "--space",
    required=True,
    type=asking.size_option,
    metavar="SIZE",
    help="Space to give, like 10GB.",
)
@_name
@_server
@_password_file
@click.option("--create", is_flag=True, help="Start the group if nobody has yet.")
@click.option(
    "--words-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the recovery words here instead of printing them.",
)
@pass_wishes
def join(
    wishes: Wishes,
    group: str,
    space: int,
    name: str | None,
    server: str | None,
    password_file: Path | None,
    create: bool,
    words_file: Path | None,
) -> None:
    """Join GROUP with this computer, and get its recovery words."""
    state = wishes.state
    _check_empty(state)
    asking.check_fits(space, state.home)
    if words_file:
        _check_writable(words_file)
    attempt = _Attempt(wishes, state, group, space, _named(name), server)
    password, typed = asking.password(password_file, twice=create)
    result = attempt.create(password) if create else attempt.join_or_ask(password, typed=typed)
    _hand_over(wishes, group, result, words_file)


class _Attempt:
    """One wish to join, which may need several tries."""

    def __init__(
        self,
        wishes: Wishes,
        state: StateFolder,
        group: str,
        space: int,
        name: str,
        server: str | None,
    ) -> None:
        self._wishes = wishes
        self._state = state
        self._group = group
        self._space = space
        self._name = name
        self._server = server

    def create(self, password: str) -> JoinResult:
        """Join, and start the group if there is none; a weak password is fine where there is."""
        weak = asking.weakness(password, known=[self._group, self._name, "covey"])
        if weak is None:
            return self._join(password, create=True)
        found = self._join_existing(password)
        if found is None:
            raise weak
        return found

    def join_or_ask(self, password: str, *, typed: bool) -> JoinResult:
        """Join, and ask a person whether to start the group if there is none."""
        found = self._join_existing(password)
        if found is not None:
            return found
        if not asking.interactive():
            raise Problem(
                f"There is no group «{self._group}» at this server yet.",
                "Check how it is written. To start it, add --create.",
                code="unknown_group",
            )
        question = f"You are the first in «{output.shown(self._group)}». Start it?"
        if not click.confirm(question, err=True):
            raise Problem("Nothing was changed.", "Check how your friends write the group's name.")
        again = "Group password once more"
        if typed and click.prompt(again, hide_input=True, err=True) != password:
            raise Problem("The two passwords differ.", "Try again.")
        return self.create(password)

    def _join_existing(self, password: str) -> JoinResult | None:
        try:
            return self._join(password, create=False)
        except JoinRefused as refused:
            if refused.code == "unknown_group":
                return None
            raise

    def _join(self, password: str, *, create: bool) -> JoinResult:
        async def work() -> JoinResult:
            return await self._wishes.entry().join(
                self._state,
                group=self._group,
                password=password,
                space=self._space,
                name=self._name,
                server=self._server,
                create=create,
            )

        return running.run(work())


def _hand_over(wishes: Wishes, group: str, result: JoinResult, words_file: Path | None) -> None:
    """Give the person the recovery words, this once."""
    key = list(result.words)
    problem = _write_words(words_file, key) if words_file else None
    written = words_file is not None and problem is None
    if wishes.json:
        answer = {"ok": problem is None, "group": group, "created": result.created}
        kept = {"words_file": str(words_file)} if written else {"words": key}
        error = {"error": problem} if problem else {}
        output.say(output.as_json({**answer, **kept, **error}))
    else:
        _tell_words(group, result, words_file if written else None)
    if problem:
        if not wishes.json:
            output.warn(problem)
        raise click.exceptions.Exit(1)


def _tell_words(group: str, result: JoinResult, words_file: Path | None) -> None:
    began = "You started" if result.created else "You joined"
    output.say(f"{began} «{output.shown(group)}».\n")
    if words_file:
        output.say(f"Your recovery words are in {output.shown(words_file)}.")
        output.say("Nothing else can open your backups: keep a copy away from this computer.")
    else:
        output.say("These are your recovery words. Nothing else can open your backups:")
        output.say("write them down now, and keep them away from this computer.\n")
        output.say(words.numbered(list(result.words)))
    output.say("\nNext: `covey mark FOLDER`, then `covey agent` and `covey backup`.")


@click.command(cls=Verb)
@click.argument("group")
@click.option(
    "--words-file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="The file with the 24 recovery words.",
)
@_server
@_password_file
@_name
@click.option(
    "--space",
    type=asking.size_option,
    metavar="SIZE",
    help="Space to give; as much as before otherwise.",
)
@pass_wishes
def recover(
    wishes: Wishes,
    group: str,
    words_file: Path | None,
    server: str | None,
    password_file: Path | None,
    name: str | None,
    space: int | None,
) -> None:
    """Make a lost computer's member anew from GROUP, its password and the recovery words."""
    state = wishes.state
    _check_empty(state)
    if space is not None:
        asking.check_fits(space, state.home)
    key = asking.recovery_words(words_file)
    password, _ = asking.password(password_file, twice=False)

    async def work() -> progress.Outcome:
        events = wishes.entry().recover(
            state,
            group=group,
            words=key,
            password=password,
            server=server,
            name=_named(name),
            space=space or 0,
        )
        return await progress.follow(events, progress.display(quiet=wishes.json))

    outcome = running.run(work())
    progress.tell(outcome, as_json=wishes.json)
    if not outcome.ok:
        raise click.exceptions.Exit(1)


@click.command(cls=Verb, name="move-server")
@click.argument("url")
@click.option("--alone", is_flag=True, help="Move this computer only: the old server is gone.")
@pass_wishes
def move_server(wishes: Wishes, url: str, alone: bool) -> None:
    """Move the whole group to the server at URL, or to the local network with `lan`.

    The others need not do anything: they follow when they are told, now or when they come back.
    Leave the old server running until everybody has come by.
    """

    async def work() -> dict[str, Any]:
        async with running.reach(wishes) as service:
            return await service.move_server(url, alone)

    answer = running.run(work())
    if wishes.json:
        output.say(output.as_json({"ok": True, **answer}))
        return
    if alone:
        output.say(f"This computer looks for the group at {output.shown(url)} now.")
        return
    output.say(f"The group is at {output.shown(url)} now. Friends who are away follow when they")
    output.say("come back to the old server: leave it running until all have.")


def _named(name: str | None) -> str:
    return (name or platform.node().partition(".")[0] or "computer").strip()


def _check_empty(state: StateFolder) -> None:
    if state.joined:
        raise Problem(
            f"This computer is already in the group «{state.config().group}» ({state.home}).",
            "For another member, name another folder with --home.",
            code="already_joined",
        )


def _check_writable(words_file: Path) -> None:
    """Find out before joining, since the words are shown only once."""
    folder = words_file.absolute().parent
    if os.path.lexists(words_file):
        raise Problem(
            f"{output.shown(words_file)} exists, and words must not be overwritten.",
            "Name another file.",
            code="words_file_exists",
        )
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise Problem(
            f"{output.shown(words_file)} cannot be written.", "Name a file in another folder."
        )


def _write_words(words_file: Path, key: list[str]) -> str | None:
    """Write the words, six lines of four; answers what went wrong, if anything did."""
    lines = [" ".join(key[start : start + 4]) for start in range(0, len(key), 4)]
    try:
        handle = os.open(words_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return f"{output.shown(words_file)} could not be written: {error.strerror}."
    return None
