"""`make soak`: links under load that are cut and renewed for hours. Flat memory, and none stuck.

Members in one process send shares to each other over real links of both engines, on this computer's
own addresses; only the server is a dictionary. All the time a link is closed by one end, or goes
dead without a word, or all are checked as if the network had changed. It ends with a line of JSON,
and with 1 when a pair stood still for too long, or memory, sockets or tasks have grown.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations

import psutil
import uvloop

from bench.memory import pss_bytes
from datachannel.bandwidth import Limits
from datachannel.credentials import Credentials, MemberCard
from datachannel.engine import Attempt, Engine, EngineLink, KnownMember
from datachannel.engines import find_libdatachannel
from datachannel.errors import RemoteError, Unavailable
from datachannel.mesh import Mesh
from datachannel.requests import put_share
from datachannel.signals import Candidate, Description
from datachannel.throttle import Throttle
from datachannel.webrtc import AiortcEngine
from netsim.lab.caller import credentials, take
from signaling.messages import IceServer, MemberId, Outcome

SHARE_BYTES = 1 << 20
RATE_BYTES_PER_S = 2e6  # of each member; the rest of the machine has work of its own
CUT_EVERY_S = 2.0
STUCK_S_MAX = 40.0  # a dead link is found after 20 s; then a new one is made, perhaps twice
RETRY_S = 0.5
SAMPLE_S = 1.0
WARM_UP = 0.3  # of the time: pools fill, caches too
GROWTH_MAX = 0.15  # between the two halves of the rest


class Known:
    """A member that is always there."""

    online = True

    def __init__(self, card: MemberCard) -> None:
        self.card = card


class Port:
    """A member's way to the others: a dictionary in the place of a server."""

    def __init__(self, ports: dict[MemberId, Port], me: Credentials) -> None:
        self._ports, self._me = ports, me.member_id
        self.known = Known(MemberCard(me.identity_public_key, "soak", 1, "1"))
        self.on_signal: Callable[[MemberId, bytes], None] = lambda member, blob: None
        self.ice_servers: Sequence[IceServer] = ()
        ports[self._me] = self

    def members(self) -> Mapping[MemberId, KnownMember]:
        """All others."""
        return {one: port.known for one, port in self._ports.items() if one != self._me}

    async def send_signal(self, to: MemberId, blob: bytes) -> None:
        """At once."""
        asyncio.get_running_loop().call_soon(self._ports[to].on_signal, self._me, blob)

    async def report(self, outcome: Outcome) -> None:
        """Nobody counts."""


class FragileLink:
    """A link of an engine that can be made to carry nothing any more, without a word."""

    def __init__(self, inner: EngineLink) -> None:
        self._inner = inner
        self.engine, self.remote, self.is_relayed = inner.engine, inner.remote, inner.is_relayed
        self.dead = False

    @property
    def closed(self) -> bool:
        return self._inner.closed

    @property
    def rtt_s(self) -> float | None:
        return self._inner.rtt_s

    def send(self, frame: bytes) -> None:
        """Or swallow it."""
        if not self.dead:
            self._inner.send(frame)

    async def drained(self) -> None:
        await self._inner.drained()

    async def receive(self) -> bytes:
        """The next frame that is not swallowed."""
        while True:
            frame = await self._inner.receive()
            if not self.dead:
                return frame

    async def close(self) -> None:
        await self._inner.close()


class FragileAttempt:
    """An attempt whose link is fragile."""

    def __init__(self, inner: Attempt, links: list[FragileLink]) -> None:
        self._inner, self._links = inner, links

    async def local_description(self, offer: Description | None = None) -> Description:
        return await self._inner.local_description(offer)

    async def connect(self, remote: Description) -> FragileLink:
        """As the engine does."""
        link = FragileLink(await self._inner.connect(remote))
        self._links[:] = [one for one in self._links if not one.closed] + [link]
        return link

    async def add_candidates(self, candidates: Sequence[Candidate], *, complete: bool) -> None:
        await self._inner.add_candidates(candidates, complete=complete)

    async def close(self) -> None:
        await self._inner.close()


class FragileEngine:
    """One engine after the other; `links` are those that are open."""

    name = "both"

    def __init__(self, engines: Sequence[Engine], chance: random.Random) -> None:
        self._engines, self._chance = engines, chance
        self.links: list[FragileLink] = []

    def attempt(
        self, remote: MemberId, *, offerer: bool, ice_servers: Sequence[IceServer]
    ) -> FragileAttempt:
        """Of either engine."""
        engine = self._chance.choice(self._engines)
        inner = engine.attempt(remote, offerer=offerer, ice_servers=ice_servers)
        return FragileAttempt(inner, self.links)


class Soak:
    """The members, what they do to each other, and what is done to their links."""

    def __init__(self, count: int, engines: Sequence[Engine], seed: int) -> None:
        self._chance = random.Random(seed)
        self.seen: Counter[str] = Counter()
        self.longest_still_s = 0.0
        self._moved_at: dict[tuple[MemberId, MemberId], float] = {}
        ports: dict[MemberId, Port] = {}
        self._meshes: dict[MemberId, Mesh] = {}
        self._engines: list[FragileEngine] = []
        self._throttles: list[Throttle] = []
        for number in range(count):
            me = credentials("soak", f"member {number}")
            engine = FragileEngine(engines, self._chance)
            throttle = Throttle(Limits(up_bytes_per_s=RATE_BYTES_PER_S))
            self._engines.append(engine)
            self._throttles.append(throttle)
            self._meshes[me.member_id] = Mesh(
                credentials=me,
                rendezvous=Port(ports, me),
                handler=take,
                random_bytes=os.urandom,
                wall_clock=time.time,
                engine=engine,
                throttle=throttle,
            )

    async def run(self, seconds: float, sample: Callable[[], None]) -> None:
        """All of it, for so long."""
        work = [mesh.run() for mesh in self._meshes.values()]
        work += [throttle.run() for throttle in self._throttles]
        work += [self._keep_sending(*pair) for pair in permutations(self._meshes, 2)]
        work += [self._keep_cutting()]
        tasks = [asyncio.create_task(one) for one in work]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await asyncio.sleep(SAMPLE_S)
            oldest = min(self._moved_at.values())
            self.longest_still_s = max(self.longest_still_s, time.monotonic() - oldest)
            sample()
        for mesh in self._meshes.values():
            await mesh.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_sending(self, sender: MemberId, receiver: MemberId) -> None:
        def moved(_: int) -> None:
            self._moved_at[sender, receiver] = time.monotonic()

        moved(0)
        while True:
            try:
                session = await self._meshes[sender].session(receiver)
                await put_share(session, os.urandom(32), b"", SHARE_BYTES, _noise, progress=moved)
                self.seen["shares"] += 1
            except (Unavailable, RemoteError) as error:
                self.seen[f"failed: {error}"] += 1
                await asyncio.sleep(RETRY_S)

    async def _keep_cutting(self) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * CUT_EVERY_S)
            links = self._chance.choice(self._engines).links
            if not links:
                continue
            link = self._chance.choice(links)
            what = self._chance.choices(["closed", "dead", "checked"], [6, 1, 1])[0]
            self.seen[what] += 1
            if what == "closed":
                await link.close()
            elif what == "dead":
                link.dead = True
            else:
                self._chance.choice(list(self._meshes.values())).check()


async def _noise(offset: int, size: int) -> bytes:
    return bytes(size)


class Growth:
    """Something that is sampled all the time and must not grow."""

    def __init__(self, measure: Callable[[], float]) -> None:
        self._measure = measure
        self._found: list[float] = []

    def sample(self) -> None:
        """Now."""
        self._found.append(self._measure())

    def told(self) -> dict[str, float]:
        """Medians of the middle and of the last part, after warming up, and the growth."""
        warm = self._found[int(len(self._found) * WARM_UP) :]
        before, after = warm[: len(warm) // 2], warm[len(warm) // 2 :]
        middle, last = statistics.median(before), statistics.median(after)
        return {"middle": middle, "last": last, "growth": last / middle - 1.0}


async def soak(members: int, seconds: float, seed: int) -> int:
    """Run, and print what was found; 1 when something is wrong."""
    fast = await find_libdatachannel()
    engines: list[Engine] = [AiortcEngine(), *([fast] if fast is not None else [])]
    process = psutil.Process()
    grown = {
        "pss_mb": Growth(lambda: pss_bytes(process.pid) / 1e6),
        "sockets_and_files": Growth(lambda: float(process.num_fds())),
        "objects": Growth(lambda: float(len(gc.get_objects()))),
        "tasks": Growth(lambda: float(len(asyncio.all_tasks()))),
    }
    found = Soak(members, engines, seed)

    def sample() -> None:
        for one in grown.values():
            one.sample()

    await found.run(seconds, sample)
    figures = {name: one.told() for name, one in grown.items()}
    still_s = round(found.longest_still_s, 1)
    has_grown = [name for name, one in figures.items() if one["growth"] > GROWTH_MAX]
    print(
        json.dumps(
            {
                "seconds": seconds,
                "engines": [engine.name for engine in engines],
                "longest_still_s": still_s,
                **dict(found.seen),
                **figures,
            }
        )
    )
    if still_s > STUCK_S_MAX:
        print(f"A pair stood still for {still_s} s.", file=sys.stderr)
    if has_grown:
        print(f"Grown: {', '.join(has_grown)}.", file=sys.stderr)
    return int(bool(has_grown) or still_s > STUCK_S_MAX)


def main() -> None:
    """Soak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=86_400.0)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    sys.exit(uvloop.run(soak(chosen.members, chosen.seconds, chosen.seed)))


if __name__ == "__main__":
    main()
