"""A night's bookkeeping of its spool."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from pathlib import Path

import pytest

from datachannel.messages import Put, Refused
from peer.backup import night
from peer.backup.messages import NightReady, Released, Stop
from tests.support.small_group import SmallGroup, small_group


@pytest.fixture
def files(tmp_path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "file").write_bytes(os.urandom(300_000))
    return folder


async def back_up_with_leftovers(group: SmallGroup, files: Path) -> None:
    """A night that fails, since one of two friends takes no shares; that friend is back then."""
    holder = next(iter(group.holders.values()))
    honest = holder.handler

    async def refuse(remote, request, stream):
        if isinstance(request, Put):
            await stream.send(Refused("internal", "not tonight"))
            await stream.finish()
        else:
            await honest(remote, request, stream)

    holder.handler = refuse
    assert not (await group.backup(files))["ok"]
    holder.handler = honest
    for link in holder.links:
        await link.close()


async def test_spool_files_are_deleted_in_threads_since_that_takes_long(
    tmp_path, files, monkeypatch
):
    unlink, loop_thread, deleted = Path.unlink, threading.current_thread(), []

    def watched(path: Path, missing_ok: bool = False) -> None:
        if path.parent.name == "spool":
            deleted.append(threading.current_thread())
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", watched)
    async with small_group(tmp_path / "group", 2) as group:
        assert (await group.backup(files))["ok"]
    assert deleted
    assert loop_thread not in deleted


async def test_what_leaves_the_spool_before_the_engine_runs_does_not_count_as_there(
    tmp_path, files, monkeypatch
):
    async with small_group(tmp_path / "group", 2) as group:
        await back_up_with_leftovers(group, files)
        assert list(group.member.spool.iterdir())
        start_engine = group.member.start_engine
        told = []

        async def slow(message):
            while list(group.member.spool.iterdir()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            told.append(message.spool_bytes)
            engine = await start_engine(message)
            send = engine.send

            def heard(sent) -> None:
                if isinstance(sent, Released):
                    told.append(-sent.size)
                send(sent)

            monkeypatch.setattr(engine, "send", heard)
            return engine

        monkeypatch.setattr(group.member, "start_engine", slow)
        assert (await group.backup())["ok"]
        assert told[0] > 0
        # The last file may be gone a moment before the night knows it.
        assert told[0] in itertools.accumulate(-size for size in told[1:])


async def test_friends_whom_the_server_has_lost_sight_of_are_told_over_the_links_there_are(
    tmp_path, files, monkeypatch
):
    async with small_group(tmp_path / "group", 3) as group:
        make_root, session = night.make_root, group.session

        def vanish(member, ready, marks):
            for holder in group.holders.values():
                holder.online = False
            return make_root(member, ready, marks)

        async def open_links_stay(member):
            return group._sessions.get(member) or await session(member)

        monkeypatch.setattr(night, "make_root", vanish)
        monkeypatch.setattr(group, "session", open_links_stay)
        event = await group.backup(files)
        assert event["ok"], event
        assert all(holder.store.get_root(group.owner) for holder in group.holders.values())


async def test_a_night_is_not_called_safe_when_friends_turn_out_to_lack_what_they_took(
    tmp_path, files
):
    """Found by `covey sim world` with holders that acknowledge before they store."""
    async with small_group(tmp_path / "group", 2) as group:
        for holder in group.holders.values():
            holder.handler = _forgets_shares(holder)
        event = await group.backup(files)
        assert not event["ok"]
        assert "Not all of the backup can be rebuilt" in event["message"]
        assert "covey check" in event["next_step"]


def _forgets_shares(holder):
    honest = holder.handler

    async def forgetful(remote, request, stream):
        await honest(remote, request, stream)
        if isinstance(request, Put):
            for path in holder.share_files():
                path.unlink()

    return forgetful


@pytest.mark.slow
async def test_an_engine_that_thinks_for_long_after_its_spool_was_shipped_is_not_stopped(
    tmp_path, files, monkeypatch
):
    async with small_group(tmp_path / "group", 2) as group:
        group.member.spool_bytes_max = 100_000  # less than what the night ships all in all
        monkeypatch.setattr(night, "STALLED_S", 0.5)
        start_engine, told = group.member.start_engine, []

        async def thoughtful(message):
            engine = await start_engine(message)
            messages, send = engine.messages, engine.send

            async def later():
                async for one in messages():
                    if isinstance(one, NightReady):
                        await asyncio.sleep(4)  # held back, or looking at what is unchanged
                    yield one

            def heard(sent) -> None:
                told.append(sent)
                send(sent)

            monkeypatch.setattr(engine, "messages", later)
            monkeypatch.setattr(engine, "send", heard)
            return engine

        monkeypatch.setattr(group.member, "start_engine", thoughtful)
        assert (await group.backup(files))["ok"]
        assert Stop() not in told
