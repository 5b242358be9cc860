"""Long work that a page has started: it goes on when the page closes, and others can look at it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from peer.faults import problem_of
from peer.service import Event, Problem

log = logging.getLogger("covey.gui")

ENDED_KEPT_MAX = 20
"""Jobs that are over and can still be looked at."""
RUNNING_MAX = 8
ENDS = ("done", "problem")
"""One of these is the last event of every job."""

Tell = Callable[[str, Event], None]
"""Hears every event of every job, with the job's id."""


@dataclass(slots=True)
class Job:
    """One piece of long work; `last` is its newest event of progress, or how it ended."""

    what: str
    last: Event = field(default_factory=dict)
    task: asyncio.Task[None] | None = None


class Jobs:
    """All jobs of this agent."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._jobs: dict[str, Job] = {}
        self._count = 0

    def start(self, what: str, events: AsyncIterator[Event]) -> str:
        """Have this work done; gives the job's id. Raises Problem when there is too much of it."""
        if sum(job.task is not None for job in self._jobs.values()) >= RUNNING_MAX:
            raise Problem("Covey is busy with other things.", "Wait until one of them is done.")
        self._count += 1
        ident = f"job-{self._count}"
        job = self._jobs[ident] = Job(what)
        job.task = asyncio.create_task(self._run(ident, job, events))
        job.task.add_done_callback(lambda _: self._end(ident, job))
        self._forget_old()
        return ident

    def cancel(self, ident: str) -> None:
        """End a job; what it did until now is kept. A job that is over, or none, is no problem."""
        job = self._jobs.get(ident)
        if job is not None and job.task is not None:
            job.task.cancel()

    def as_answer(self) -> dict[str, Any]:
        """{id: {what, last}} of those that run and those that ended lately."""
        return {ident: {"what": job.what, "last": job.last} for ident, job in self._jobs.items()}

    async def close(self) -> None:
        """End all of them."""
        tasks = [job.task for job in self._jobs.values() if job.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, ident: str, job: Job, events: AsyncIterator[Event]) -> None:
        try:
            async for event in events:
                self._hear(ident, job, event)
        except Problem as problem:
            self._hear(ident, job, as_event(problem))
        except Exception as error:
            log.exception("the job %s failed", job.what)
            self._hear(ident, job, as_event(problem_of(error)))

    def _end(self, ident: str, job: Job) -> None:
        """Also of a job that was cancelled before its first step."""
        job.task = None
        if job.last.get("event") not in ENDS:
            stopped = Problem("Stopped.", "What was done until now is kept.", code="stopped")
            self._hear(ident, job, as_event(stopped))

    def _hear(self, ident: str, job: Job, event: Event) -> None:
        if event["event"] in ("progress", *ENDS):
            job.last = event
        self._tell(ident, event)

    def _forget_old(self) -> None:
        ended = [ident for ident, job in self._jobs.items() if job.task is None]
        for ident in ended[: max(0, len(ended) - ENDED_KEPT_MAX)]:
            del self._jobs[ident]


def as_event(problem: Problem) -> Event:
    """A problem as the pages read it."""
    return {
        "event": "problem",
        "text": problem.text,
        "next_step": problem.next_step,
        "code": problem.code,
    }
