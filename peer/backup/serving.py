"""The agent's answers when a night's engine asks for bytes of packs that only friends have."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from peer.member import Engine, Member
from peer.restore.fetch import Fetcher, PackUnavailable
from peer.restore.job import new_fetcher, remembered
from peer.restore.messages import HaveRange, LostPack, NeedRange

log = logging.getLogger("covey.night")


class RangeServer:
    """Puts ranges of packs into the scratch folder and says so. Often nobody asks."""

    def __init__(self, member: Member, engine: Engine, scratch: Path) -> None:
        self._m, self._engine, self._scratch = member, engine, scratch
        self._fetcher: Fetcher | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def fetch(self, need: NeedRange) -> None:
        """Answer it when it is there."""
        task = asyncio.create_task(self._answer(need))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _answer(self, need: NeedRange) -> None:
        call = self._m.run_blocking
        try:
            if self._fetcher is None:
                where = await call(remembered, self._m)
                self._fetcher = new_fetcher(self._m, self._scratch, where)
            row = await call(self._m.catalog.pack, need.row)
            await self._fetcher.fetch_range(row, need.row, need.offset, need.length)
        except PackUnavailable as error:
            self._engine.send(LostPack(need.row, str(error)))
        except OSError as error:
            self._engine.send(LostPack(need.row, f"there is no room to put it: {error.strerror}"))
        except Exception:
            # The engine waits for an answer; a fault of ours must not leave it waiting for ever.
            log.exception("a part of a pack could not be fetched")
            self._engine.send(LostPack(need.row, "Covey met a fault of its own"))
        else:
            self._engine.send(HaveRange(need.row, need.offset, need.length))
