"""The engine: a process that does the byte work of one backup or restore, and then ends.

The agent's event loop must never wait for a disk or a cipher, so everything between files and
shares runs here. `python -m peer.engine` reads one Start message and then talks in frames on its
standard input and output; `EngineProcess` is the agent's end of that.
"""

from __future__ import annotations

import asyncio
import os
import select
import sys
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import msgspec

from peer.backup.messages import FromEngine, StartBackup, ToEngine
from peer.backup.pool import ProcessPool
from peer.backup.run import BackupRun
from peer.garbage import collect_rarely
from peer.orphans import end_with_parent
from peer.pipes import FRAME_BYTES_MAX, LENGTH_BYTES, FramedPipe, PipeClosed, encode_frame
from peer.politeness import yield_to_the_person
from peer.restore.messages import FromRestore, NeedRange, StartRestore, ToRestore
from peer.restore.run import RestoreRun

ENDING_S = 20.0
"""How long an engine that was told to stop may take before it is killed."""


class EngineDied(Exception):
    """The engine ended without saying that it was done."""


class _PipeAgent:
    """The engine's view of the agent."""

    def __init__(self, pipe: FramedPipe) -> None:
        self._pipe = pipe

    def send(self, message: Any) -> None:  # noqa: ANN401 - a FromEngine or FromRestore
        self._pipe.send(message)

    def poll(self, *, wait: bool) -> list[Any]:
        messages: list[Any] = []
        while (message := self._pipe.buffered()) is not None:
            messages.append(message)
        while (wait and not messages) or select.select([self._pipe.read_fd], [], [], 0)[0]:
            self._pipe.fill()
            while (message := self._pipe.buffered()) is not None:
                messages.append(message)
        return messages


def main() -> None:
    """Run one job as the Start message says."""
    pipe = FramedPipe(0, os.dup(1), ToEngine | ToRestore)
    os.dup2(2, 1)  # a stray print must not end up in a frame
    end_with_parent()
    yield_to_the_person()
    collect_rarely()
    agent = _PipeAgent(pipe)
    entropy = os.urandom  # noqa: TID251 - a process of its own has its own source of chance
    try:
        match pipe.receive():
            case StartBackup() as backup:
                make_pool = partial(ProcessPool, backup.master, backup.recipe, backup.workers)
                BackupRun(backup, agent, make_pool, entropy).run()
            case StartRestore() as restore:
                RestoreRun(restore, agent).run()
    except PipeClosed:
        sys.exit(1)


class EngineProcess:
    """An engine under way, seen from the agent's event loop."""

    def __init__(self, process: asyncio.subprocess.Process, kinds: Any) -> None:  # noqa: ANN401
        self._process = process
        self._decoder = msgspec.msgpack.Decoder(kinds)

    @classmethod
    async def start(cls, message: StartBackup | StartRestore) -> EngineProcess:
        """Start an engine and give it its job."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "peer.engine",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        kinds = FromEngine | NeedRange if isinstance(message, StartBackup) else FromRestore
        engine = cls(process, kinds)
        engine.send(message)
        return engine

    def send(self, message: msgspec.Struct) -> None:
        """Tell the engine something; small messages only, they are queued."""
        stdin = self._process.stdin
        assert stdin is not None
        if not stdin.is_closing():
            stdin.write(encode_frame(message))

    async def messages(self) -> AsyncIterator[Any]:
        """What the engine says, until it ends."""
        stdout = self._process.stdout
        assert stdout is not None
        while True:
            try:
                size = int.from_bytes(await stdout.readexactly(LENGTH_BYTES), "big")
                assert size <= FRAME_BYTES_MAX
                yield self._decoder.decode(await stdout.readexactly(size))
            except asyncio.IncompleteReadError:
                return

    async def end(self) -> None:
        """See it out: it has a moment to end by itself, then it is killed."""
        stdin = self._process.stdin
        assert stdin is not None
        stdin.close()
        try:
            async with asyncio.timeout(ENDING_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


if __name__ == "__main__":
    main()
