"""What a member's owner asks for reaches the right check, and status tells of the last drill."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from datachannel.bandwidth import Limits
from datachannel.engine import LinkInfo
from datachannel.throttle import Throttle
from peer.limiting import Limiting
from peer.member import Emit
from peer.nightly.keeper import Keeper
from peer.node import Identity, Node
from peer.service import Event, Problem
from tests.support.nights import keeper_for_tests
from tests.support.small_group import SmallGroup, small_group


class ReachedGroup:
    connected = True
    near_only = False
    problem = ""
    server = "http://here"

    async def ready(self, timeout_s: float) -> bool:
        return True

    def links(self) -> Sequence[LinkInfo]:
        return []


class HoldsNothing:
    used_bytes = 0
    limit_bytes = 1

    def used_by_owner(self) -> dict[bytes, int]:
        return {}

    async def give(self, offer_bytes: int) -> None:
        raise AssertionError("nobody gives here")


async def examine(emit: Emit) -> Event:
    raise AssertionError("nobody asks for the doctor here")


async def keep(limits: Limits) -> None:
    raise AssertionError("nobody sets limits here")


def node_of(group: SmallGroup, nights: Keeper | None = None) -> Node:
    identity = Identity("smiths", "owner")
    limiting = Limiting(Throttle(), keep)
    held, nights = HoldsNothing(), nights or keeper_for_tests(group.member.home)
    return Node(group.member, ReachedGroup(), held, identity, str, examine, limiting, nights)


@pytest.fixture
async def backed_up(tmp_path) -> AsyncIterator[SmallGroup]:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "letter").write_text("Dear friends")
    async with small_group(tmp_path / "group", 3) as group:
        await group.backup(folder)
        yield group


async def events_of(events: AsyncIterator[Event]) -> list[Event]:
    async with contextlib.aclosing(events):  # type: ignore[type-var]
        return [event async for event in events]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("listings", "All 3 parts of your backup can be rebuilt; any 2 friends can vanish."),
        ("data", "All of it was fetched and opened"),
        ("drill", "The restore drill brought back 1 file;"),
        ("rebuild", "The list of backups is new: 1 snapshot in 3 parts."),
    ],
)
async def test_each_kind_of_check_ends_with_its_own_sentence(backed_up, what, said):
    events = await events_of(node_of(backed_up).check(what))
    assert events[-1]["ok"], events[-1]
    assert said in events[-1]["message"]
    assert all(event["event"] == "progress" for event in events[:-1])


async def test_reading_tells_how_far_it_is(backed_up):
    events = await events_of(node_of(backed_up).check("data"))
    last = [event for event in events if event["event"] == "progress"][-1]
    assert (last["stage"], last["files"], last["files_total"]) == ("check", 3, 3)
    assert last["seconds_left"] == 0
    assert last["bytes"] > 0


async def test_only_one_thing_is_done_at_a_time(backed_up):
    node = node_of(backed_up)
    async with backed_up.member.busy:
        with pytest.raises(Problem) as problem:
            await events_of(node.check("data"))
    assert problem.value.code == "busy"


@pytest.mark.parametrize(("what", "percent"), [("nonsense", 100), ("data", 0), ("data", 101)])
async def test_a_check_that_is_none_is_refused(backed_up, what, percent):
    with pytest.raises(Problem, match="is no check"):
        node_of(backed_up).check(what, percent)


async def test_status_tells_of_the_last_drill_and_warns_when_it_failed(backed_up):
    node = node_of(backed_up)
    assert (await node.status())["drill"] is None
    await events_of(node.check("drill"))
    status = await node.status()
    assert status["drill"]["ok"]
    assert status["drill"]["files"] == 1
    warnings = status["warnings"]
    for holder in backed_up.holders.values():
        holder.online = False
    failed = (await events_of(node.check("drill")))[-1]
    assert not failed["ok"]
    status = await node.status()
    assert not status["drill"]["ok"]
    (new,) = set(status["warnings"]) - set(warnings)
    assert new == f"{failed['message']} {failed['next_step']}"


async def test_a_drill_without_a_snapshot_says_what_to_do_first(tmp_path):
    async with small_group(tmp_path / "group", 1) as group:
        with pytest.raises(Problem, match="no snapshot yet"):
            await events_of(node_of(group).check("drill"))


async def test_a_night_through_the_node_looks_whether_a_drill_is_due(backed_up):
    node = node_of(backed_up)
    for _ in range(9):  # the clock of this group jumps by weeks, which counts as a day each
        night = (await events_of(node.backup()))[-1]
        assert night["ok"], night
    assert (await node.status())["drill"]["ok"]
