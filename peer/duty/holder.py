"""A holder's side of duties: what it keeps, to whom it gives a lease, what it allows by one.

A deputy is allowed to list and read what an absent owner has here, and to put shares that the duty
names; nothing else, and nothing is ever deleted by a duty. It must be in the duty, have the lease,
and the owner must not have been seen *here* for the duty's days and one day more for each deputy
before it: by this holder's own observed days, so that neither a deputy's word nor a clock decides.
An owner that is seen again ends it at once.

All methods block and may be called from any thread.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import msgspec

from chunking.duty import Duty, read_duty, read_duty_envelope
from chunking.formats import FormatError, PackId, PackRef, ShareName
from chunking.index import share_names
from chunking.share import Share, decode_header
from datachannel.messages import LIST_ITEMS_MAX, Get, List, Put
from peer.duty.lease import LEASE_S, Leases
from peer.holding.refusals import BadShare, Busy, Stale
from peer.holding.store import ShareStore
from peer.state import write_atomic
from signaling.messages import MemberId, member_id_of

PARSED_MAX = 4
"""Duties that are kept as they are used, each of some megabytes."""
STEP_DAYS = 1
"""Each deputy waits so many days longer than the one before it."""


_Stamp = tuple[int, int]


class NotDue(Exception):
    """No duty allows this, or not now; the text says why."""


@dataclass(frozen=True, slots=True)
class KnownDuty:
    """A duty, ready for use."""

    duty: Duty
    packs: dict[PackId, PackRef]

    @property
    def counter(self) -> int:
        """The higher one is the newer."""
        return self.duty.counter

    def rank(self, deputy: MemberId) -> int:
        """Whose turn it is: 0 is first. Raises NotDue for who is no deputy."""
        try:
            return self.duty.deputies.index(deputy)
        except ValueError:
            raise NotDue("you are no deputy of this owner") from None

    def names(self, header: bytes, name: bytes) -> bool:
        """Whether the duty has this very share."""
        try:
            decoded = decode_header(header)
        except FormatError:
            return False
        ref = self.packs.get(decoded.pack)
        if ref is None or (decoded.needed, decoded.pack_length) != (ref.needed, ref.length):
            return False
        names = share_names(ref)
        return decoded.number < len(names) and names[decoded.number] == name


class Duties:
    """All duties that this member keeps, and the leases that it has given."""

    def __init__(
        self,
        store: ShareStore,
        leases_file: Path,
        *,
        members: Callable[[], Collection[MemberId]],
        monotonic_s: Callable[[], float],
    ) -> None:
        self._store, self._members, self._monotonic_s = store, members, monotonic_s
        self._leases_file = leases_file
        self._lock = threading.Lock()
        self._leases = Leases(self._read_leases(), monotonic_s())
        self._parsed: OrderedDict[bytes, tuple[_Stamp | None, KnownDuty]] = OrderedDict()

    def put(self, record: bytes) -> None:
        """Keep a duty, whoever brings it: the owner's signature counts.

        Raises BadShare, Stale, NoRoom, and NotDue for an owner who is no member.
        """
        try:
            identity_key, _ = read_duty_envelope(record)
            owner = member_id_of(identity_key)
            if owner not in self._members() and owner not in self._store.owners.known():
                raise NotDue("this owner is no member of the group")
            read_duty(record)
        except FormatError as error:
            raise BadShare(str(error)) from error
        self._store.put_duty(owner, record)

    def get(self, owner: MemberId, deputy: MemberId) -> bytes:
        """An owner's duty, for one of its deputies. Raises NotDue."""
        known = self.known(owner)
        record = self._store.records.get_duty(owner)
        if known is None or record is None:
            raise NotDue("there is no duty of this owner here")
        known.rank(deputy)
        return record

    def ask_lease(self, owner: MemberId, deputy: MemberId, counter: int) -> int:
        """For how many seconds this deputy alone may act. Raises NotDue, Stale, Busy."""
        known = self._due(owner, deputy)
        if counter < known.counter:
            raise Stale("a newer duty of this owner is here")
        if counter > known.counter:
            raise NotDue("only an older duty of this owner is here")
        with self._lock:
            now = self._monotonic_s()
            if not self._leases.ask(owner, deputy, now):
                raise Busy("another deputy acts for this owner")
            self._write_leases(now)
        return LEASE_S

    def allow(self, owner: MemberId, deputy: MemberId, request: Put | Get | List) -> None:
        """Let a deputy do this. Raises NotDue."""
        known = self._due(owner, deputy)
        with self._lock:
            if self._leases.holder(owner, self._monotonic_s()) != deputy:
                raise NotDue("you have no lease for this owner")
        if isinstance(request, Put) and not known.names(request.header, request.name):
            raise NotDue("the owner's duty does not have this share")

    def to_act_on(self, deputy: MemberId) -> list[MemberId]:
        """The owners for whom this member may act as a deputy now."""
        found = []
        for owner in map(MemberId, self._store.owners.known()):
            with contextlib.suppress(NotDue):
                self._due(owner, deputy)
                found.append(owner)
        return found

    # --- this member's own part, when it is the deputy --------------------------------------------

    def own_names(self, owner: MemberId) -> set[ShareName]:
        """The shares of an owner that lie here."""
        names: set[ShareName] = set()
        after, more = b"", True
        while more:
            page, more = self._store.list_after(owner, after, LIST_ITEMS_MAX)
            names |= {ShareName(name) for name, _ in page}
            after = page[-1][0] if page else after
        return names

    def read_own(self, owner: MemberId, name: ShareName) -> tuple[bytes, bytes] | None:
        """Header and payload of a share that lies here, unverified; None without it."""
        held = self._store.open_range(owner, name, 0, 0)
        if held is None:
            return None
        with contextlib.closing(held):
            return held.header, held.read(0, held.size)

    def put_own(self, owner: MemberId, share: Share) -> None:
        """Keep a share for an owner here. Raises NoRoom, BadShare, Busy."""
        put = self._store.begin_put(owner, share.name, share.header, len(share.payload))
        try:
            if put.offset < put.length:
                self._store.append(put, share.payload[put.offset :])
            self._store.finish_put(put)
        except BaseException:
            self._store.abort(put)
            raise

    def known(self, owner: bytes) -> KnownDuty | None:
        """An owner's newest duty that is here; None without, and for one that has rotted."""
        stamp = self._store.records.duty_stamp(owner)
        with self._lock:
            parsed = self._parsed.get(owner)
        if parsed is None or parsed[0] != stamp:
            record = self._store.records.get_duty(owner)
            try:
                duty = None if record is None else read_duty(record)
            except FormatError:
                duty = None
            if duty is None:
                return None
            parsed = stamp, KnownDuty(duty, {ref.pack: ref for ref in duty.packs})
        with self._lock:
            self._parsed[owner] = parsed
            self._parsed.move_to_end(owner)
            while len(self._parsed) > PARSED_MAX:
                self._parsed.popitem(last=False)
        return parsed[1]

    def _due(self, owner: MemberId, deputy: MemberId) -> KnownDuty:
        known = self.known(owner)
        if known is None:
            raise NotDue("there is no duty of this owner here")
        days = known.duty.grace_days + STEP_DAYS * known.rank(deputy)
        owners = self._store.owners
        if owners.has_left(owner) or owners.unseen_days(owner) < days:
            raise NotDue("this owner was seen here too lately")
        return known

    def _read_leases(self) -> dict[bytes, MemberId]:
        try:
            data = self._leases_file.read_bytes()
            stored = msgspec.json.decode(data, type=dict[str, str])
            return {bytes.fromhex(o): MemberId(bytes.fromhex(d)) for o, d in stored.items()}
        except (OSError, msgspec.MsgspecError, ValueError):
            return {}

    def _write_leases(self, now: float) -> None:
        given = {owner.hex(): deputy.hex() for owner, deputy in self._leases.given(now).items()}
        write_atomic(self._leases_file, msgspec.json.encode(given))
