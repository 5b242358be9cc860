"""The newest usage statement of each member, on disk, so that a restart forgets nothing.

A statement is kept when its signature is right, its signer is a member of the group, and its
counter is higher than that of the one known: an old one that is told again changes nothing. Two
different ones with the same counter are noted: their signer tells people different things.

Our own statement is on disk, synced, before anybody is told: its counter never goes back.
All methods may be called from any thread; those that write block.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from chunking.formats import INT64_MAX, Dealing, FormatError
from chunking.keys import MemberKeys
from chunking.statement import Statement, read_statement, sign_statement
from datachannel.errors import ProtocolError
from datachannel.messages import STATEMENTS_MAX, join_statements, split_statements
from peer.state import write_atomic
from signaling.messages import MemberId, member_id_of

log = logging.getLogger("covey.space")


class StatementBook:
    """One member's collection; at most STATEMENTS_MAX statements, its own among them."""

    def __init__(self, path: Path, own: MemberId) -> None:
        """Reads what is there; a damaged file is begun anew, and friends have copies of most."""
        self._path, self._own = path, own
        self._lock = threading.Lock()
        self._kept: dict[MemberId, tuple[Statement, bytes]] = {}
        self.version = 0
        """Rises with every change."""
        self.two_faced: set[MemberId] = set()
        """Who was found to have signed two different statements with one counter."""
        try:
            for data in split_statements(path.read_bytes()):
                statement = read_statement(data)
                self._kept[member_id_of(statement.identity_key)] = (statement, data)
        except FileNotFoundError:
            pass
        except (ProtocolError, FormatError) as error:
            log.warning("the usage statements that were kept are damaged: %s", error)

    def statements(self) -> dict[MemberId, Statement]:
        """The newest of each member."""
        with self._lock:
            return {member: statement for member, (statement, _) in self._kept.items()}

    def to_tell(self) -> list[bytes]:
        """The same as they go round, ours among them."""
        with self._lock:
            return [data for _, data in self._kept.values()]

    def learn(self, told: Iterable[bytes], members: Collection[MemberId]) -> int:
        """Keep what is new of these, from members of the group; how many were.

        Whoever told them vouches for nothing: what is wrong with one leaves the others alone.
        """
        news = 0
        with self._lock:
            for data in told:
                news += self._learn(data, members)
            if news:
                self._write()
        return news

    def _learn(self, data: bytes, members: Collection[MemberId]) -> bool:
        if any(data == known for _, known in self._kept.values()):
            return False  # most are known already, and need no look at their signature
        try:
            statement = read_statement(data)
        except FormatError as error:
            log.info("a usage statement is not kept: %s", error)
            return False
        member = member_id_of(statement.identity_key)
        if member != self._own and member not in members:
            return False
        before = self._kept.get(member)
        if before is not None and before[0].counter >= statement.counter:
            if before[0].counter == statement.counter:
                log.warning("%s has signed two different usage statements", member.hex()[:8])
                self.two_faced.add(member)
            return False
        if before is None and not self._has_room(members):
            return False
        self._kept[member] = (statement, data)
        return True

    def _has_room(self, members: Collection[MemberId]) -> bool:
        """Whether there is room for one more; who is no member any more makes it. One place is
        for our own."""
        limit = STATEMENTS_MAX if self._own in self._kept else STATEMENTS_MAX - 1
        if len(self._kept) >= limit:
            for gone in self._kept.keys() - set(members) - {self._own}:
                del self._kept[gone]
        return len(self._kept) < limit

    def tell_own(
        self,
        keys: MemberKeys,
        wall_clock: Callable[[], int],
        offer_bytes: int,
        dealings: tuple[Dealing, ...],
    ) -> bool:
        """Sign what we say now, unless it is what we said last; whether it is new.

        The counter follows the highest that we ever said, as far as we or any friend know.
        """
        with self._lock:
            before = self._kept.get(self._own)
            counter = 1
            if before is not None:
                if (before[0].offer_bytes, before[0].dealings) == (offer_bytes, dealings):
                    return False
                counter = min(before[0].counter + 1, INT64_MAX)
            data = sign_statement(keys, counter, wall_clock(), offer_bytes, dealings)
            self._kept[self._own] = (read_statement(data), data)
            try:
                self._write()
            except BaseException:
                if before is None:
                    del self._kept[self._own]
                else:
                    self._kept[self._own] = before
                raise
            return True

    def _write(self) -> None:
        self.version += 1
        write_atomic(self._path, join_statements([data for _, data in self._kept.values()]))
