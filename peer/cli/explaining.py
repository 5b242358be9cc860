"""Whatever goes wrong below, as one plain sentence and the next step, for terminals and pages."""

from __future__ import annotations

from peer.cli import output
from peer.cli.running import ToldToEnd
from peer.faults import problem_of
from peer.finding.order import NotFound
from peer.service import Problem
from peer.state import AlreadyJoined, AlreadyRunning, NotJoined, StateError
from peer.words import WordsError

DEBUG_VARIABLE = "COVEY_DEBUG"


def explain(error: BaseException) -> Problem:
    """What a person should read about `error`, and what they can do."""
    from datachannel.errors import Unavailable
    from datachannel.rendezvous import JoinRefused, Unreachable

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
    if isinstance(error, WordsError):
        return Problem(str(error), "Compare with your recovery sheet.", code="words")
    if (problem := problem_of(error)).code != "internal":
        return Problem(output.shown(problem.text), problem.next_step, code=problem.code)
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
