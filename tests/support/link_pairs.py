"""Two attempts of real engines on each other, and the links that come of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from datachannel.engine import Engine
from datachannel.signals import Description
from signaling.messages import MemberId

ANNA, BEN = MemberId(b"a" * 32), MemberId(b"b" * 32)


class Pair:
    """Anna offers, Ben answers, over this computer's own addresses."""

    def __init__(self, annas: Engine, bens: Engine | None = None) -> None:
        self.annas: Any = annas.attempt(BEN, offerer=True, ice_servers=[])
        self.bens: Any = (bens or annas).attempt(ANNA, offerer=False, ice_servers=[])
        self.anna: Any
        self.ben: Any

    async def describe(self) -> tuple[Description, Description]:
        offer = await self.annas.local_description()
        return offer, await self.bens.local_description(offer)

    async def connect(self) -> None:
        offer, answer = await self.describe()
        async with asyncio.timeout(60):  # a busy machine takes its time
            self.anna, self.ben = await asyncio.gather(
                self.annas.connect(answer), self.bens.connect(offer)
            )

    async def close(self) -> None:
        await self.annas.close()
        await self.bens.close()
        await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        async with asyncio.timeout(20):
            await asyncio.gather(*left, return_exceptions=True)


@asynccontextmanager
async def connected(annas: Engine, bens: Engine | None = None) -> AsyncIterator[Pair]:
    pair = Pair(annas, bens)
    try:
        await pair.connect()
        yield pair
    finally:
        await pair.close()
