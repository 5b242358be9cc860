"""Nights that come by themselves, on a clock that jumps."""

import asyncio
import contextlib

import pytest

from netsim.world.clock import run_at_once
from peer.nightly.keeper import PATIENCE_S
from peer.nightly.manners import HELD_BACK, Sample
from peer.service import Problem, done
from tests.support.nights import NOON_NS, Computer, keeper_for_tests

S = 10**9
DAY_S = 86_400


class Member:
    """A service whose nights take an hour each."""

    def __init__(self, keeper, *, marks=("/x",), ok=True, breaks=None) -> None:
        self.keeper, self.marks, self.ok, self.breaks = keeper, list(marks), ok, breaks
        self.begun: list[float] = []
        self.takes_s = 3600.0
        self.succeeded = False

    async def status(self):
        last = {"files": 7, "time_ns": NOON_NS} if self.succeeded else None
        return {"marks": self.marks, "doing": "", "last_snapshot": last, "drill": None}

    async def friends(self):
        return []

    async def space(self):
        return {"friends_offer_bytes": 0, "stored_bytes": 0}

    async def backup(self):
        self.begun.append(asyncio.get_running_loop().time())
        async with self.keeper.night(3) as ended:
            await asyncio.sleep(self.takes_s)
            if self.breaks is not None:
                raise self.breaks
            event = done(ok=self.ok, message="All is safe.", summary={"files": 7})
            ended(event)
        yield event


class Stoppable:
    def __init__(self) -> None:
        self.runs = True
        self.since = 0.0
        self.ran_s = 0.0
        self.suspended = 0

    def _note(self) -> None:
        now = asyncio.get_running_loop().time()
        self.ran_s += now - self.since if self.runs else 0.0
        self.since = now

    def suspend(self) -> None:
        self._note()
        self.runs = False
        self.suspended += 1

    def resume(self) -> None:
        self._note()
        self.runs = True

    def ran(self) -> float:
        self._note()
        return self.ran_s


def lived(tmp_path, days, *, computer=None, events=(), scheduled=True, workers=(), **member):
    """So many days from noon on; `events` are (seconds, function) that happen meanwhile."""
    computer = computer or Computer()

    async def live():
        loop = asyncio.get_running_loop()
        keeper = keeper_for_tests(
            tmp_path, computer, lambda: NOON_NS + int(loop.time() * S), workers
        )
        service = Member(keeper, **member)
        for at, happen in events:
            loop.call_later(at, happen, keeper, service)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(days * DAY_S):
                await keeper.run(service, scheduled=scheduled)
        return keeper, service

    return run_at_once(live())


def hour_of(begun: float) -> float:
    return (12 + begun / 3600) % 24


def test_a_night_comes_every_night_and_once(tmp_path):
    keeper, service = lived(tmp_path, 4)
    assert len(service.begun) == 4
    assert all(1 <= hour_of(begun) < 6 for begun in service.begun)
    nights = keeper.activity()["nights"]
    assert [night["ok"] for night in nights] == [True] * 4
    assert nights[0]["seconds"] == pytest.approx(3600)


def test_no_night_comes_while_nothing_is_marked_or_nights_are_switched_off(tmp_path):
    assert lived(tmp_path / "a", 2, marks=())[1].begun == []
    keeper, service = lived(tmp_path / "b", 2, scheduled=False)
    assert service.begun == []
    assert keeper.facts()["next_night_ns"] == 0


def test_a_busy_computer_is_waited_for(tmp_path):
    computer = Computer(sample=Sample(0.9))
    begun_at = 0.95 * DAY_S

    def idle(keeper, service):
        computer.sample = Sample(0.0)

    _, service = lived(tmp_path, 1, computer=computer, events=[(begun_at, idle)])
    (begun,) = service.begun
    assert begun_at < begun < begun_at + 30


def test_a_night_that_waits_says_why(tmp_path):
    computer = Computer(sample=Sample(0.0, battery_percent=12))
    said: list[str] = []

    def ask(keeper, service):
        said.append(keeper.facts()["waiting_because"])

    _, service = lived(tmp_path, 1, computer=computer, events=[(10, ask), (0.9 * DAY_S, ask)])
    assert service.begun == []
    assert said == ["", "The battery is at 12 %."], "before the night is due there is no reason"


def test_a_failed_night_is_tried_again(tmp_path):
    _, service = lived(tmp_path, 1, ok=False)
    assert len(service.begun) > 3
    waits = [b - a for a, b in zip(service.begun, service.begun[1:], strict=False)]
    assert waits == sorted(waits)


def test_a_pause_until_tomorrow_skips_a_night_and_an_hour_an_hour(tmp_path):
    async def pause(keeper, until):
        await keeper.pause(until)

    def paused(keeper, _):
        task = asyncio.get_running_loop().create_task(pause(keeper, "tomorrow"))
        keeper.kept = task

    _, service = lived(tmp_path, 1.5, events=[(3600, paused)])
    (begun,) = service.begun
    assert hour_of(begun) == pytest.approx(9, abs=0.1), "made up for when the pause is over"


def test_a_pause_with_another_word_is_refused(tmp_path):
    keeper = keeper_for_tests(tmp_path)
    with pytest.raises(Problem, match="is no time"):
        asyncio.run(keeper.pause("year"))


def test_a_clock_that_was_set_back_does_not_make_an_hour_a_year(tmp_path):
    computer = Computer()
    keeper = keeper_for_tests(tmp_path, computer)
    asyncio.run(keeper.pause("hour"))
    assert keeper.facts()["paused_until_ns"] == NOON_NS + 3600 * S
    computer.now_ns -= 365 * DAY_S * S
    assert keeper.facts()["paused_until_ns"] == 0


def test_a_person_who_begins_to_work_has_the_processor_within_seconds_and_leaves_it_again(tmp_path):
    computer, worker = Computer(), Stoppable()
    shares: dict[str, float] = {}

    def measure(name, seconds):
        def now(keeper, service):
            ran = worker.ran()
            later = asyncio.get_running_loop().call_later
            later(seconds, lambda: shares.update({name: (worker.ran() - ran) / seconds}))

        return now

    _, service = lived(tmp_path / "first", 1)
    begun = service.begun[0]
    lived(
        tmp_path,
        1,
        computer=computer,
        workers=[worker],
        events=[
            (begun + 100, measure("before", 100)),
            (begun + 300, working(computer, 0.95)),
            (begun + 310, measure("busy", 600)),
            (begun + 910, working(computer, 0.0)),
            (begun + 920, measure("after", 600)),
        ],
    )
    assert shares["before"] == shares["after"] == pytest.approx(1)
    assert shares["busy"] == pytest.approx(HELD_BACK, abs=0.01)
    assert worker.runs


def working(computer, load):
    def now(keeper, service):
        computer.sample = Sample(load)

    return now


def test_a_night_ends_when_the_battery_gets_low_and_goes_on_with_the_mains(tmp_path):
    computer, worker = Computer(), Stoppable()
    hour = lived(tmp_path / "first", 1)[1].begun[0]

    def unplug(keeper, service):
        computer.sample = Sample(0.0, battery_percent=29)

    def plug(keeper, service):
        computer.sample = Sample(0.0)

    events = [(hour + 600, unplug), (hour + 7200, plug)]
    keeper, service = lived(tmp_path, 1, computer=computer, workers=[worker], events=events)
    first, second = keeper.activity()["nights"]
    assert (first["ok"], first["seconds"]) == (False, pytest.approx(600, abs=40))
    assert first["message"] == "The battery is at 29 %. The backup goes on later."
    assert second["ok"]
    assert service.begun[1] == pytest.approx(hour + 7200, abs=30), "and no failure makes it wait"
    assert worker.runs


def test_a_pause_ends_the_night_that_is_under_way(tmp_path):
    hour = lived(tmp_path / "first", 1)[1].begun[0]

    def pause(keeper, service):
        service.task = asyncio.get_running_loop().create_task(keeper.pause("hour"))

    keeper, service = lived(tmp_path, 1, events=[(hour + 600, pause)])
    assert service.begun[1] == pytest.approx(hour + 600 + 3600, abs=40)
    assert keeper.activity()["nights"][0]["message"].startswith("You paused backups.")


def test_nights_can_be_switched_off_for_good_also_while_one_is_under_way(tmp_path):
    computer = Computer()
    hour = lived(tmp_path / "first", 1)[1].begun[0]

    def switch(keeper, service):
        service.task = asyncio.get_running_loop().create_task(keeper.set_schedule(False))

    events = [(hour + 600, switch)]
    keeper, service = lived(tmp_path, 3, computer=computer, events=events)
    assert len(service.begun) == 1
    assert keeper.activity()["nights"][0]["message"].startswith("You switched nights off.")
    assert keeper.schedule() == {
        "by_itself": False,
        "next_night_ns": 0,
        "paused_until_ns": 0,
        "waiting_because": "",
    }
    assert computer.kept == [False]


def test_who_asks_for_something_need_not_wait_for_a_night_that_came_by_itself(tmp_path):
    hour = lived(tmp_path / "first", 1)[1].begun[0]
    waited: list[float] = []

    async def ask(keeper):
        clock = asyncio.get_running_loop()
        begun = clock.time()
        assert await keeper.step_aside()
        waited.append(clock.time() - begun)

    def asked(keeper, service):
        service.task = asyncio.get_running_loop().create_task(ask(keeper))

    _, service = lived(tmp_path, 1, events=[(hour + 600, asked)])
    assert waited == [0.0]
    assert len(service.begun) == 2


def test_a_night_that_was_asked_for_goes_on_whatever_the_computer_does(tmp_path):
    computer, worker = Computer(), Stoppable()
    took: list[bool] = []

    async def back_up(service):
        took.extend([event["ok"] async for event in service.backup()])
        took.append(worker.suspended == 0)

    def asked(keeper, service):
        computer.sample = Sample(1.0, battery_percent=10, metered=True)
        service.task = asyncio.get_running_loop().create_task(back_up(service))

    keeper, _ = lived(tmp_path, 0.2, computer=computer, workers=[worker], events=[(100, asked)])
    assert took == [True, True]
    (night,) = keeper.activity()["nights"]
    assert night["asked_for"]


@pytest.mark.slow
def test_a_computer_that_never_rests_is_backed_up_held_back_after_half_a_day(tmp_path):
    computer = Computer(sample=Sample(0.9))
    hour = lived(tmp_path / "first", 1)[1].begun[0]
    _, service = lived(tmp_path, 2, computer=computer)
    assert service.begun == [pytest.approx(hour + PATIENCE_S, abs=60)]


def test_whatever_breaks_in_a_night_the_agent_goes_on_and_tries_again_later(tmp_path):
    full = OSError(28, "No space left on device")
    keeper, service = lived(tmp_path, 1, breaks=full)
    assert 2 <= len(service.begun) < 10
    assert not any(night["ok"] for night in keeper.activity()["nights"])


def test_a_look_that_fails_ends_nothing(tmp_path):
    computer = Computer()

    def fail(_):
        raise RuntimeError("no such sensor")

    computer.look = fail
    _, service = lived(tmp_path, 1, computer=computer)
    assert service.begun == [], "what is not known to be idle counts as busy"


def test_what_must_be_told_is_told_once(tmp_path):
    computer = Computer()
    lived(tmp_path, 5.9, computer=computer, marks=("/x",), scheduled=False)
    assert computer.told == [f"There was no complete backup for {days} days." for days in (3, 4, 5)]


def test_traffic_is_noted_by_the_hour(tmp_path):
    computer = Computer()

    def moved(keeper, service):
        computer.moved = (5_000, 70)

    keeper, _ = lived(tmp_path, 0.2, computer=computer, events=[(100, moved)])
    (hour,) = keeper.activity()["traffic"]
    assert (hour["up_bytes"], hour["down_bytes"]) == (5_000, 70)


def test_what_a_night_sent_is_noted_and_what_it_led_to_is_told_as_soon_as_it_ends(tmp_path):
    computer = Computer()
    at_once: list[object] = []

    async def back_up(service):
        await asyncio.sleep(5)  # in the middle of a minute
        computer.moved = (5_000, 70)
        service.takes_s, service.succeeded = 10.0, True
        async for _ in service.backup():
            pass
        await asyncio.sleep(0.1)
        (hour,) = service.keeper.activity()["traffic"]
        at_once.extend([hour["up_bytes"], *computer.told])

    def asked(keeper, service):
        service.task = asyncio.get_running_loop().create_task(back_up(service))

    lived(tmp_path, 0.2, computer=computer, events=[(100, asked)], scheduled=False)
    assert at_once == [5_000, "The first backup is done: 7 files are with your friends."]
