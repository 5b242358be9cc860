"""A member without a backup: it joins, is called or calls a friend, and sends it bytes.

    python -m netsim.lab.caller URL GROUP NAME best|aiortc

`best` chooses between the engines as members do. It says a line of JSON when it has joined. Then
it does what lines of JSON on its standard input say, and answers each with a line:
`{"call": NAME, "bytes": N}` calls that member and sends it so many bytes as a share;
`{"links": true}` tells of its links. Between the lines it is called and takes what is sent to it.
It ends with its standard input. All below it is the product's own: signaling, engines, the
handshake, sessions with their credits.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import sys
import time
from contextlib import suppress
from typing import Any

from datachannel import messages
from datachannel.credentials import Credentials, MemberCard
from datachannel.engines import BestEngine
from datachannel.errors import Refusal, RemoteError, Unavailable
from datachannel.joining import OneServer
from datachannel.link import Stream
from datachannel.mesh import Mesh
from datachannel.rendezvous import Rendezvous
from datachannel.requests import put_share
from signaling.messages import MemberId

ONLINE_S_MAX = 20.0
CALL_S_MAX = 40.0
"""Longer than a member waits, so that what takes too long is measured as such."""


def credentials(group: str, name: str) -> Credentials:
    """The same for the same names: who has the lower id, and so offers, never changes."""

    def seed(text: str) -> bytes:
        return hashlib.blake2b(text.encode(), digest_size=32).digest()

    return Credentials(
        name_id=seed(f"name {group}"),
        group_seed=seed(f"seed {group}"),
        box_key=seed(f"box {group}"),
        identity_seed=seed(f"member {name}"),
    )


async def take(_: MemberId, request: Any, stream: Stream) -> None:  # noqa: ANN401 - any request
    """Take a share, and forget it."""
    if not isinstance(request, messages.Put):
        raise Refusal("bad_request")
    await stream.send(messages.Continue(0))
    while await stream.receive() is not None:
        pass
    await stream.send(messages.Stored())


class Caller:
    """A member at work."""

    def __init__(self, url: str, group: str, name: str, engine: str) -> None:
        mine = credentials(group, name)
        self._group = group
        card = MemberCard(mine.identity_public_key, name, 10**9, "lab")
        self.rendezvous = Rendezvous(
            servers=OneServer(url),
            credentials=mine,
            card=card,
            create=True,
            random_bytes=os.urandom,  # noqa: TID251 - a composition root
            jitter=random.Random(),
        )
        self.mesh = Mesh(
            credentials=mine,
            rendezvous=self.rendezvous,
            handler=take,
            random_bytes=os.urandom,  # noqa: TID251
            wall_clock=time.time,  # noqa: TID251
            engine=BestEngine() if engine == "best" else BestEngine(find_fast=_nothing),
        )

    async def run(self) -> None:
        """Until standard input ends."""
        running = [asyncio.create_task(one) for one in (self.rendezvous.run(), self.mesh.run())]
        try:
            await self.rendezvous.joined()
            _say({"joined": True})
            while line := await asyncio.to_thread(sys.stdin.readline):
                told = json.loads(line)
                if "call" in told:
                    _say(await self._call(told["call"], told["bytes"]))
                else:
                    _say({"links": self._links()})
        finally:
            await self.mesh.close()
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _call(self, name: str, size: int) -> dict[str, Any]:
        friend = credentials(self._group, name).member_id
        loop = asyncio.get_running_loop()
        await self._see(friend)
        began = loop.time()
        try:
            session = await self.mesh.session(friend, timeout_s=CALL_S_MAX)
            connect_s = loop.time() - began
            began = loop.time()
            await put_share(session, SHARE, b"", size, _noise)
        except (Unavailable, RemoteError) as error:
            return {"failure": str(error), "after_s": loop.time() - began}
        mb_per_s = size / (loop.time() - began) / 1e6
        return {"connect_s": connect_s, "mb_per_s": mb_per_s}

    async def _see(self, friend: MemberId) -> None:
        """Wait until the friend is there, but not for ever: the call tells what is wrong."""
        changed = asyncio.Event()
        self.rendezvous.on_change = changed.set
        with suppress(TimeoutError):
            async with asyncio.timeout(ONLINE_S_MAX):
                while not ((known := self.rendezvous.members().get(friend)) and known.online):
                    await changed.wait()
                    changed.clear()

    def _links(self) -> list[dict[str, Any]]:
        return [
            {
                "engine": link.engine,
                "state": link.state,
                "relayed": link.relayed,
                "failure": link.failure,
            }
            for link in self.mesh.links()
        ]


SHARE = hashlib.blake2b(b"a share", digest_size=messages.NAME_BYTES).digest()
NOISE = random.Random(0).randbytes(1 << 20)


async def _nothing() -> None:
    """No faster engine than aiortc."""


async def _noise(offset: int, size: int) -> bytes:
    start = offset % (len(NOISE) - size)
    return NOISE[start : start + size]


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(Caller(*sys.argv[1:]).run())
