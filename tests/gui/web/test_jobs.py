"""Long work: it outlives its page, can be ended, and is never too much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gui.web.jobs import ENDED_KEPT_MAX, RUNNING_MAX, Jobs
from peer.service import Event, Problem, done, note, progress
from tests.gui.web.conftest import Pages, until


class Heard:
    """What all jobs told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Event]] = []

    def __call__(self, job: str, event: Event) -> None:
        self.events.append((job, event))


class Work:
    """Long work that goes on when the test says so."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.closed = False

    async def events(self) -> AsyncIterator[Event]:
        try:
            yield progress("scan", files=1)
            await self.go_on.wait()
            yield done(ok=True, message="All is safe.", summary={})
        finally:
            self.closed = True


async def failing(error: Exception) -> AsyncIterator[Event]:
    yield note("/a", "is odd")
    raise error


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def jobs(heard: Heard) -> Jobs:
    return Jobs(heard)


def last(jobs: Jobs, job: str) -> Event:
    event: Event = jobs.as_answer()[job]["last"]
    return event


async def test_a_job_tells_its_events_and_is_known_by_its_newest(jobs: Jobs, heard: Heard):
    work = Work()
    job = jobs.start("backup", work.events())
    await until(lambda: last(jobs, job))
    assert jobs.as_answer()[job]["what"] == "backup"
    assert last(jobs, job)["event"] == "progress"
    work.go_on.set()
    await until(lambda: last(jobs, job)["event"] == "done")
    assert [event["event"] for _, event in heard.events] == ["progress", "done"]


async def test_a_job_that_is_cancelled_is_closed_and_says_that_it_was_stopped(jobs: Jobs):
    work = Work()
    job = jobs.start("backup", work.events())
    await until(lambda: last(jobs, job))
    jobs.cancel(job)
    jobs.cancel("job-99")
    await until(lambda: last(jobs, job)["event"] == "problem")
    assert last(jobs, job)["code"] == "stopped"
    assert work.closed
    jobs.cancel(job)


async def test_a_job_that_is_cancelled_before_its_first_step_takes_no_place(
    jobs: Jobs,
):
    for _ in range(RUNNING_MAX):
        jobs.cancel(jobs.start("backup", Work().events()))
    await until(lambda: all(job["last"] for job in jobs.as_answer().values()))
    assert {job["last"]["code"] for job in jobs.as_answer().values()} == {"stopped"}
    jobs.start("backup", Work().events())
    await jobs.close()


@pytest.mark.parametrize(
    ("error", "code"), [(Problem("No.", code="alone"), "alone"), (OSError("oh"), "internal")]
)
async def test_what_goes_wrong_is_the_last_that_is_told(
    jobs: Jobs, heard: Heard, error: Exception, code: str
):
    job = jobs.start("backup", failing(error))
    await until(lambda: last(jobs, job))
    assert last(jobs, job)["code"] == code
    assert [event["event"] for _, event in heard.events] == ["note", "problem"]


async def test_only_so_much_is_done_at_once(jobs: Jobs):
    works = [Work() for _ in range(RUNNING_MAX)]
    started = [jobs.start("find", work.events()) for work in works]
    with pytest.raises(Problem, match="busy"):
        jobs.start("find", Work().events())
    works[0].go_on.set()
    await until(lambda: last(jobs, started[0]).get("event") == "done")
    jobs.start("find", Work().events())
    await jobs.close()


async def test_what_is_over_is_forgotten_in_its_turn_and_what_runs_never(jobs: Jobs):
    running = Work()
    first = jobs.start("backup", running.events())
    for _ in range(ENDED_KEPT_MAX + 5):
        work = Work()
        work.go_on.set()
        job = jobs.start("find", work.events())
        await until(lambda job=job: last(jobs, job).get("event") == "done")
    assert len(jobs.as_answer()) <= ENDED_KEPT_MAX + 2
    assert first in jobs.as_answer()
    assert "job-2" not in jobs.as_answer()
    await jobs.close()


async def test_all_work_ends_with_the_agent(jobs: Jobs):
    works = [Work() for _ in range(3)]
    started = [jobs.start("find", work.events()) for work in works]
    await until(lambda: all(last(jobs, job) for job in started))
    await jobs.close()
    assert all(work.closed for work in works)


async def test_work_goes_on_when_its_page_is_closed_and_a_new_page_sees_its_end(pages: Pages):
    work = Work()
    pages.desk.service = pages.service
    pages.service.backup = work.events  # type: ignore[method-assign]
    browser = await pages.browser()
    async with browser.post("/api/backup", json={}) as answer:
        assert answer.status == 202
        job = (await answer.json())["job"]
    await browser.close()
    work.go_on.set()
    await until(lambda: pages.last(job).get("event") == "done")
    assert pages.last(job)["message"] == "All is safe."


async def test_a_page_can_end_what_another_has_begun(pages: Pages):
    work = Work()
    pages.desk.service = pages.service
    pages.service.backup = work.events  # type: ignore[method-assign]
    _, started = await pages.ask("backup")
    await until(lambda: pages.last(started["job"]))
    assert await pages.ask("cancel", {"job": started["job"]}) == (200, {})
    await until(lambda: pages.last(started["job"])["event"] == "problem")
    assert work.closed
