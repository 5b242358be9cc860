"""A deputy at work: shares of absent owners are made anew from others, unread, and put elsewhere.

For each owner whose duty says that it is our turn: leases of most deputies, listings of all who
gave one, and for each pack that lacks shares, the most endangered first, k shares are read, joined,
compared with the pack's id, and what is missing is made from them. Each name must be the one that
the owner has signed: a deputy can make nothing else, and a holder keeps nothing else. The owner
finds the shares by asking, as it finds all others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from chunking.erasure import join
from chunking.formats import FormatError, ShareName
from chunking.index import share_names
from chunking.pack import check_pack_id
from chunking.share import Share, ShareHasher, make_shares, payload_length_of
from datachannel.errors import ProtocolError, Refusal, RemoteError, Unavailable
from datachannel.requests import (
    ask_lease,
    get_duty,
    get_share,
    list_shares,
    put_duty,
    put_share,
)
from peer.duty.holder import Duties, KnownDuty, NotDue
from peer.duty.lease import Mandate
from peer.duty.thin import Thin, takers, thin_packs
from peer.holding.refusals import BadShare, Busy, NoRoom, Stale
from peer.member import Member
from peer.upkeep.absence import read_absences
from signaling.messages import MemberId

log = logging.getLogger("covey.duty")

PACKS_A_NIGHT_MAX = 64
"""What one deputy repairs for one owner in one night: some gigabytes at most."""
NEWER_DUTIES_MAX = 3
"""Friends who always know of a newer duty are not believed for longer."""
ASK_TIMEOUT_S = 30.0
LIST_TIMEOUT_S = 120.0
SHARE_TIMEOUT_S = 600.0
AHEAD_S = 300.0
"""A lease that would end within so long is asked for again before the next pack."""

_NotNow = (Unavailable, Refusal, RemoteError, TimeoutError)


@dataclass(slots=True)
class Acted:
    """What came of it."""

    owners: int = 0
    packs: int = 0
    shares: int = 0
    moved_bytes: int = 0
    lacking: int = 0
    """Shares that nobody could take."""

    @property
    def sentence(self) -> str:
        """For the log and the night's events."""
        if not self.owners:
            return ""
        return (
            f"For {self.owners} friends who are away for long, {self.shares} lost parts were made "
            "anew."
        )


async def act_for_absent(member: Member, duties: Duties) -> Acted:
    """Do what the duties ask of this member now."""
    acted = Acted()
    for owner in await member.run_blocking(duties.to_act_on, member.member):
        await _Deputy(member, duties, owner, acted).run()
    return acted


@dataclass(slots=True)
class _Deputy:
    """This member, acting for one owner. Use `run` once."""

    member: Member
    duties: Duties
    owner: MemberId
    acted: Acted
    mandate: Mandate = field(default_factory=lambda: Mandate(()))
    counter: int = 0
    givers: set[MemberId] = field(default_factory=set)
    newer_at: MemberId | None = None
    """Who says that there is a newer duty."""
    listings: dict[MemberId, set[ShareName]] = field(default_factory=dict)

    async def run(self) -> None:
        known = await self._chosen()
        if known is None:
            return
        self.acted.owners += 1
        await self._list()
        away = await self.member.run_blocking(self._away)
        thin = thin_packs(known.duty.packs, self.listings, away)
        for one in thin[:PACKS_A_NIGHT_MAX]:
            if not await self._may_go_on():
                log.info("the leases ended; the rest is for the next night")
                return
            await self._repair(one)

    # --- being allowed ----------------------------------------------------------------------

    async def _chosen(self) -> KnownDuty | None:
        """The duty by which we alone act now; None when we do not."""
        for _ in range(NEWER_DUTIES_MAX):
            known = await self.member.run_blocking(self.duties.known, self.owner)
            if known is None:
                return None
            electors = tuple(map(MemberId, known.duty.deputies))
            self.mandate, self.counter = Mandate(electors), known.counter
            await self._ask_all()
            if self.newer_at is None:
                if self.mandate.is_enough(_now()):
                    return known
                log.info("too few friends let us act for an absent owner")
                return None
            await self._learn(self.newer_at)
        return None

    async def _learn(self, friend: MemberId) -> None:
        try:
            async with asyncio.timeout(LIST_TIMEOUT_S):
                record = await get_duty(await self.member.friends.session(friend), self.owner)
            await self.member.run_blocking(self.duties.put, record)
        except (*_NotNow, BadShare, Stale, NoRoom, NotDue) as error:
            log.info("%s gives no newer duty: %s", friend.hex()[:8], error)

    async def _ask_all(self) -> None:
        """Ask everybody who is there for a lease, ourselves included."""
        self.newer_at = None
        await self._ask_self()
        async with asyncio.TaskGroup() as tasks:
            for friend in self._online():
                tasks.create_task(self._ask(friend))

    async def _ask_self(self) -> None:
        me, asked_at = self.member.member, _now()
        try:
            seconds = await self.member.run_blocking(
                self.duties.ask_lease, self.owner, me, self.counter
            )
        except (NotDue, Stale, Busy):
            self.mandate.lost(me)
            self.givers.discard(me)
        else:
            self.mandate.given(me, asked_at=asked_at, seconds=seconds)
            self.givers.add(me)

    async def _ask(self, friend: MemberId) -> None:
        asked_at = _now()
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                session = await self.member.friends.session(friend)
                seconds = await ask_lease(session, self.owner, self.counter)
        except Refusal as refusal:
            self.mandate.lost(friend)
            self.givers.discard(friend)
            if refusal.code == "not_due":
                await self._pass_on(friend)
            elif refusal.code == "stale":
                self.newer_at = friend
        except (Unavailable, RemoteError, TimeoutError) as error:
            log.info("%s cannot be asked for a lease: %s", friend.hex()[:8], error)
        else:
            self.mandate.given(friend, asked_at=asked_at, seconds=seconds)
            self.givers.add(friend)

    async def _pass_on(self, friend: MemberId) -> None:
        """Who came to the group since then may never have heard of the duty."""
        record = await self.member.run_blocking(self.duties.get, self.owner, self.member.member)
        try:
            async with asyncio.timeout(LIST_TIMEOUT_S):
                await put_duty(await self.member.friends.session(friend), record)
        except _NotNow as error:
            log.info("%s keeps no duty: %s", friend.hex()[:8], error)

    async def _may_go_on(self) -> bool:
        if self.mandate.ends(_now()) < _now() + AHEAD_S:
            await self._ask_all()
        return self.mandate.is_enough(_now())

    # --- who has what -----------------------------------------------------------------------

    async def _list(self) -> None:
        """Who gave a lease says what it has."""
        me = self.member.member
        if me in self.givers:
            self.listings[me] = await self.member.run_blocking(self.duties.own_names, self.owner)
        others = sorted(self.givers - {me})
        answers = await asyncio.gather(*(self._names_at(friend) for friend in others))
        self.listings |= {f: n for f, n in zip(others, answers, strict=True) if n is not None}

    async def _names_at(self, friend: MemberId) -> set[ShareName] | None:
        names: set[ShareName] = set()
        try:
            async with asyncio.timeout(LIST_TIMEOUT_S):
                session = await self.member.friends.session(friend)
                async for item in list_shares(session, owner=self.owner):
                    names.add(ShareName(item.name))
        except _NotNow as error:
            log.info("%s lists nothing for an absent owner: %s", friend.hex()[:8], error)
            return None
        return names

    def _away(self) -> int:
        """How many friends may hold shares that nobody lists: those not heard and not gone."""
        others = self.member.friends.members().keys() - self.listings.keys() - {self.owner}
        return len(others - read_absences(self.member.catalog).gone())

    def _online(self) -> list[MemberId]:
        friends = self.member.friends.members().items()
        return sorted(m for m, friend in friends if friend.online and m != self.owner)

    # --- repairing --------------------------------------------------------------------------

    async def _repair(self, thin: Thin) -> None:
        free = takers(thin, self.listings)
        if not free:
            self.acted.lacking += len(thin.missing)
            return
        payloads = await self._fetch(thin)
        if len(payloads) < thin.ref.needed:
            log.info("too few shares of a pack of an absent owner can be read")
            return
        try:
            shares = await self.member.run_blocking(
                _remade, self.owner, thin, payloads, thin.missing[: len(free)]
            )
        except FormatError as error:
            log.warning("a pack of an absent owner is not what its duty says: %s", error)
            return
        put = 0
        for share in shares:
            put += await self._put(share, free)
        self.acted.packs += put > 0
        self.acted.shares += put
        self.acted.lacking += len(thin.missing) - put

    async def _fetch(self, thin: Thin) -> dict[int, bytes]:
        """As many verified payloads as are needed, by number; ours first."""
        me = self.member.member
        names = share_names(thin.ref)
        order = sorted(thin.sources, key=lambda number: (me not in thin.sources[number], number))
        got: dict[int, bytes] = {}
        for number in order:
            if len(got) == thin.ref.needed:
                break
            for holder in thin.sources[number]:
                payload = await self._read(holder, names[number], thin)
                if payload is not None:
                    got[number] = payload
                    break
        return got

    async def _read(self, holder: MemberId, name: ShareName, thin: Thin) -> bytes | None:
        """The payload of a share, if its bytes have its name."""
        try:
            if holder == self.member.member:
                own = await self.member.run_blocking(self.duties.read_own, self.owner, name)
                if own is None:
                    return None
                header, payload = own
            else:
                header, payload = await self._read_from(holder, name, thin)
            return await self.member.run_blocking(_verified, name, header, payload)
        except (*_NotNow, FormatError, BadShare, OSError) as error:
            log.info("%s gives no good share: %s", holder.hex()[:8], error)
            return None

    async def _read_from(
        self, holder: MemberId, name: ShareName, thin: Thin
    ) -> tuple[bytes, bytes]:
        async with asyncio.timeout(SHARE_TIMEOUT_S):
            session = await self.member.friends.session(holder)
            async with get_share(session, name, owner=self.owner) as (found, body):
                if found.length != payload_length_of(thin.ref.length, thin.ref.needed):
                    raise ProtocolError(f"it announces a share of {found.length} bytes")
                payload = b"".join([data async for data in body])
        self.acted.moved_bytes += len(payload)
        return found.header, payload

    async def _put(self, share: Share, free: list[MemberId]) -> bool:
        """Bring a share to one of these, who is not asked again for this pack."""
        while free:
            taker = free.pop(0)
            try:
                if taker == self.member.member:
                    await self.member.run_blocking(self.duties.put_own, self.owner, share)
                else:
                    await self._put_at(taker, share)
            except (*_NotNow, NoRoom, BadShare, Busy) as error:
                log.info("%s takes no share of an absent owner: %s", taker.hex()[:8], error)
                continue
            self.listings[taker].add(share.name)
            return True
        return False

    async def _put_at(self, taker: MemberId, share: Share) -> None:
        async def read(offset: int, size: int) -> bytes:
            return share.payload[offset : offset + size]

        async with asyncio.timeout(SHARE_TIMEOUT_S):
            session = await self.member.friends.session(taker)
            size = len(share.payload)
            await put_share(session, share.name, share.header, size, read, owner=self.owner)
        self.acted.moved_bytes += size


def _verified(name: ShareName, header: bytes, payload: bytes) -> bytes:
    hasher = ShareHasher(header)
    hasher.update(payload)
    if hasher.finish() != name:
        raise FormatError("a share does not have its name")
    return payload


def _remade(
    owner: MemberId, thin: Thin, payloads: Mapping[int, bytes], numbers: tuple[int, ...]
) -> list[Share]:
    """The shares with these numbers, each of which has the name that the owner has signed.

    Raises FormatError when they do not.
    """
    ref = thin.ref
    data = join(payloads, ref.needed, ref.length)
    check_pack_id(data, ref.pack)
    shares = make_shares(data, ref.pack, owner=owner, needed=ref.needed, numbers=numbers)
    names = share_names(ref)
    if any(share.name != names[number] for number, share in zip(numbers, shares, strict=True)):
        raise FormatError("a share that was made anew does not have its name")
    return shares


def _now() -> float:
    return asyncio.get_running_loop().time()
