"""The store of several instances that are one server: a registry, presence and letters in Redis.

An instance is at Redis for a *session*: it subscribes to its own channel, holds a lease, and tells
who of its members is online. Every step is one script (scripts.py), so that all sessions hear of
the steps in their order. When a session ends - Redis restarts, the line breaks, nothing is heard
for too long - the members here stay connected and hear of each other; a new session begins as soon
as it can, tells everything again and ends what the old one has left. When an instance dies, its
lease runs out, and another one takes its members offline.

What is told waits in a bounded queue; while Redis is away only departures for good are kept, since
everything else is told again. A member is registered when Redis has said so (`record`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from signaling.config import Limits
from signaling.notices import Found, Left, Notice, Passed, Undelivered
from signaling.stores import Listener, StoreError, scripts

log = logging.getLogger("covey.signaling")

LEASE_S = 12.0
"""So long after its last sign a dead instance's members are shown as online."""
SIGN_S = LEASE_S / 4
OPEN_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 8.0
"""A Join waits this long for Redis; its client gives up after 15 s."""
SOCKET_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 5.0
RETRY_S_MIN, RETRY_S_MAX = 0.2, 5.0
STEPS_MAX = 100_000
"""Waiting for Redis. A step is some hundred bytes; more than this means that it hangs."""
BATCH_STEPS = 200
REAP_GROUPS = 200
"""Taken offline in one script: Redis does nothing else meanwhile."""


class _SessionEnded(Exception):
    """This session cannot go on; the next one can."""


@dataclass(slots=True, eq=False)
class _Step:
    """One thing to do in Redis. `session` is the one of the time when it is done, if None."""

    script: str
    arguments: tuple[bytes | str, ...]
    session: str | None = None
    answer: asyncio.Future[Any] | None = None
    passed: Passed | None = None


class RedisStore:
    """Registry, presence and letters of all instances at one Redis."""

    is_shared = True

    def __init__(
        self,
        url: str,
        limits: Limits,
        *,
        random_bytes: Callable[[int], bytes],
        jitter: random.Random,
    ) -> None:
        """Nothing is connected yet. Raises StoreError for what is no URL of a Redis."""
        try:
            self._redis = Redis.from_url(
                url,
                retry=Retry(NoBackoff(), 0),
                socket_timeout=SOCKET_TIMEOUT_S,
                socket_connect_timeout=SOCKET_TIMEOUT_S,
            )
        except ValueError as error:
            raise StoreError("that is no URL of a Redis; give redis://HOST:PORT/0") from error
        self._limits, self._random_bytes, self._jitter = limits, random_bytes, jitter
        self._listener: Listener | None = None
        self._hashes: dict[str, str] = {}
        self._me = ""
        self._ended: list[str] = []
        self._steps: deque[_Step] = deque()
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._ready = asyncio.Event()
        self._takes_notices = False
        self._staying: asyncio.Task[None] | None = None
        self._why = "no answer"
        self.groups = 0
        self.failures = 0

    @property
    def is_ready(self) -> bool:
        """Whether there is a session."""
        return self._ready.is_set()

    @property
    def takes_groups(self) -> bool:
        """Whether there is room for another group, as of the last look."""
        return self.groups < self._limits.groups_max

    @property
    def takes_members(self) -> bool:
        """Always: Redis refuses when its memory is full."""
        return True

    async def open(self, listener: Listener) -> None:
        """Begin the first session. Raises StoreError when there is none soon."""
        self._listener = listener
        self._staying = asyncio.create_task(self._stay())
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await self._ready.wait()
        except TimeoutError:
            await self.close()
            raise StoreError(f"Redis cannot be used: {self._why}") from None

    async def find(self, name_id: bytes) -> Found:
        """What is known of a group. Raises StoreError."""
        picture, groups = await self._ask(_Step("find", (name_id,)))
        try:
            group, online = scripts.parse_picture(name_id, picture)
        except scripts.Garbled as error:
            raise StoreError(f"Redis holds what is no group: {error}") from error
        self.groups = int(groups)
        return Found(group, {member: at for member, at in online.items() if at != self._me})

    def tell(self, notice: Notice) -> None:
        """This happened here."""
        self._add(self._step_of(notice))

    async def record(self, notice: Notice) -> None:
        """As `tell`, and wait until Redis has done it. Raises StoreError."""
        await self._ask(self._step_of(notice))

    async def close(self) -> None:
        """Do what waits, take our members offline, and end."""
        if self._staying is None:
            return
        with contextlib.suppress(TimeoutError, RedisError, OSError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                if self.is_ready:
                    await self._idle.wait()
                    await self._reap(self._me)
        self._staying.cancel()
        await asyncio.wait([self._staying])
        self._staying = None
        with contextlib.suppress(RedisError, OSError):
            await self._redis.aclose()

    # --- what is to be done -----------------------------------------------------------------

    def _step_of(self, notice: Notice) -> _Step:
        script, arguments = scripts.call_of(notice)
        # Who leaves while Redis is away leaves the session of that time.
        session = self._me if isinstance(notice, Left) else None
        passed = notice if isinstance(notice, Passed) else None
        return _Step(script, arguments, session, passed=passed)

    def _add(self, step: _Step) -> None:
        if len(self._steps) >= STEPS_MAX or not (
            self._takes_notices or step.answer is not None or step.script == "leave"
        ):
            self._drop(step)
            return
        self._steps.append(step)
        self._idle.clear()
        self._work.set()

    def _drop(self, step: _Step) -> None:
        """It will be told again with the next session, or somebody waits for an answer."""
        if step.answer is not None and not step.answer.done():
            step.answer.set_exception(StoreError("Redis does not follow"))
        if step.passed is not None:
            self._hear_undelivered(step.passed)
        elif self._takes_notices:
            self.failures += 1
            self._takes_notices = False  # `_keep_lease` ends the session: all is told again

    async def _ask(self, step: _Step) -> Any:  # noqa: ANN401 - what a script answers
        step.answer = asyncio.get_running_loop().create_future()
        self._add(step)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await step.answer
        except TimeoutError:
            raise StoreError("Redis does not answer") from None

    # --- a session --------------------------------------------------------------------------

    async def _stay(self) -> None:
        """Session after session, until cancelled."""
        retry_s = RETRY_S_MIN
        while True:
            try:
                async with self._session() as pubsub, asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._listen(pubsub))
                    tasks.create_task(self._keep_lease())
                    await self._tell_everything()
                    self._ready.set()
                    retry_s = RETRY_S_MIN
                    log.info("at Redis")
                    tasks.create_task(self._do_steps())
            except* (RedisError, OSError, TimeoutError, _SessionEnded) as errors:
                self._why = _words_of(errors)
                log.warning("Redis is away: %s", self._why)
            finally:
                self._takes_notices = False
                self._ready.clear()
            self._keep_what_must_be_told()
            await asyncio.sleep(retry_s * (0.5 + self._jitter.random() / 2))
            retry_s = min(2 * retry_s, RETRY_S_MAX)

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[PubSub]:
        """Under a new id, subscribed, with a lease and the scripts."""
        if self._me:
            self._ended.append(self._me)
        self._me = self._random_bytes(scripts.SESSION_BYTES // 2).hex()
        pubsub = self._redis.pubsub()
        try:
            await pubsub.subscribe(f"covey:to:{self._me}")
            if await pubsub.get_message(timeout=SOCKET_TIMEOUT_S) is None:
                raise _SessionEnded("no subscription")
            self._hashes = {
                name: await self._redis.script_load(text) for name, text in scripts.SCRIPTS.items()
            }
            await self._lease()
            yield pubsub
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]
            await self._redis.connection_pool.disconnect()

    async def _tell_everything(self) -> None:
        """Who is here, now under this session's id; then nobody is at the old ones any more."""
        assert self._listener is not None
        self._takes_notices = True
        steps: list[_Step] = []
        for group, entered in self._listener.everything():
            steps.append(_Step("restore", scripts.fields_of(group), session=""))
            steps += [self._step_of(notice) for notice in entered]
            steps.append(_Step("look", (group.name_id,)))
        for start in range(0, len(steps), BATCH_STEPS):
            await self._do(steps[start : start + BATCH_STEPS])
        while self._ended:
            await self._reap(self._ended[0])
            del self._ended[0]

    async def _listen(self, pubsub: PubSub) -> None:
        assert self._listener is not None
        while True:
            message = await pubsub.get_message(timeout=LEASE_S)
            if message is None:
                raise _SessionEnded("nothing is heard any more")
            try:
                heard = scripts.parse(message["data"], self._me)
            except scripts.Garbled as error:
                log.error("what Redis passes on is garbled: %s", error)
                continue
            if heard is not None:
                self._listener.heard(heard)
                await asyncio.sleep(0)  # what came in one go must not keep others waiting

    async def _keep_lease(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            await asyncio.sleep(SIGN_S)
            is_held, lapsed = await self._lease()
            if not is_held:
                raise _SessionEnded("the lease has run out")
            if self.is_ready and not self._takes_notices:
                raise _SessionEnded("too much waits for Redis")
            if loop.time() - began > LEASE_S:  # others may come back from the same break
                for session in lapsed:
                    await self._reap(session.decode("ascii"))

    async def _do_steps(self) -> None:
        while True:
            if not self._steps:
                self._idle.set()
                self._work.clear()
                await self._work.wait()
            count = min(len(self._steps), BATCH_STEPS)
            await self._do([self._steps.popleft() for _ in range(count)])

    def _keep_what_must_be_told(self) -> None:
        """Of what waits: departures for good, and what somebody waits for."""
        self._steps = deque(
            step
            for step in self._steps
            if step.script == "leave" or (step.answer is not None and not step.answer.done())
        )

    # --- Redis ------------------------------------------------------------------------------

    async def _do(self, steps: Sequence[_Step]) -> None:
        """Do these in one go, in order. What fails for a lost line is done again or told again."""
        pipe = self._redis.pipeline(transaction=False)
        for step in steps:
            if step.passed is not None:
                pipe.publish(*step.arguments)
                continue
            session = self._me if step.session is None else step.session
            who = (session,) if session and step.script != "find" else ()
            pipe.evalsha(self._hashes[step.script], 0, *who, *step.arguments)
        try:
            answers = await pipe.execute(raise_on_error=False)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                raise _SessionEnded("Redis has forgotten the scripts")
        except (RedisError, OSError, _SessionEnded):
            self._steps.extendleft(reversed(steps))
            raise
        for step, answer in zip(steps, answers, strict=True):
            self._take(step, answer)

    def _take(self, step: _Step, answer: Any) -> None:  # noqa: ANN401 - what a script answers
        if isinstance(answer, ResponseError):
            self.failures += 1
            log.error("Redis refuses: %s", str(answer)[:200])
            if step.answer is not None and not step.answer.done():
                step.answer.set_exception(StoreError("Redis refuses"))
            return
        if step.passed is not None and not answer:
            self._hear_undelivered(step.passed)
        if step.answer is not None and not step.answer.done():
            step.answer.set_result(answer)

    def _hear_undelivered(self, passed: Passed) -> None:
        assert self._listener is not None
        self._listener.heard(Undelivered(passed.name_id, passed.sender, passed.to, passed.instance))

    async def _lease(self) -> tuple[bool, list[bytes]]:
        lease_ms = str(int(LEASE_S * 1000))
        is_held, lapsed = await self._redis.evalsha(self._hashes["lease"], 0, self._me, lease_ms)
        return bool(is_held), lapsed

    async def _reap(self, session: str) -> None:
        reap = self._hashes["reap"]
        while await self._redis.evalsha(reap, 0, session, str(REAP_GROUPS)):
            pass


def _words_of(errors: BaseExceptionGroup[BaseException]) -> str:
    leaves: Iterable[BaseException] = errors.exceptions
    words = {str(leaf)[:200] or type(leaf).__name__ for leaf in leaves}
    return "; ".join(sorted(words))
