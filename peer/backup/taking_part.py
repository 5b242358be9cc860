"""Which friends take part in a night: all, unless one with hardly any room would keep out the rest.

Each pack goes to as many friends as possible, so what fits follows those who have little room. When
what is new tonight does not fit with all of them, those who have room for less than a pack are
left out, as few as will do. Most nights fit, and then nothing is measured.
"""

from __future__ import annotations

from collections.abc import Sequence

from chunking.formats import PACK_TARGET_MAX, FormatError
from peer.backup.ignore import Ignored, ignored_of
from peer.backup.scan import LastNight
from peer.backup.tonight import new_tonight
from peer.member import Member
from peer.space.fitting import Room, for_files, room_for
from peer.space.ledger import Account
from peer.upkeep.placement import Candidate
from peer.upkeep.presence import Presence, read_presence
from peer.upkeep.redundancy import choose_code
from peer.upkeep.statements import own_account

HARDLY_ANY_BYTES = PACK_TARGET_MAX
"""Only friends with less room than this are ever left out: a backup is not to lose its spare parts
for the sake of more room."""

Option = tuple[list[Candidate], Room]


def options(account: Account, candidates: Sequence[Candidate], presence: Presence) -> list[Option]:
    """All candidates and the room with them; then without the one that has the least; and so on,
    as long as that one has hardly any."""
    left = sorted(candidates, key=lambda one: (-one.free_bytes, one.member))
    found: list[Option] = []
    while left:
        code = choose_code([presence.within_day(one.member) for one in left])
        room = room_for(account, [one.free_bytes for one in left], code)
        found.append((sorted(left, key=lambda one: one.member), room))
        if left[-1].free_bytes >= HARDLY_ANY_BYTES:
            break
        left = left[:-1]
    return found


def choose(found: Sequence[Option], wanted_bytes: int) -> Option:
    """With as many friends as possible of those options with which so much fits; where nothing is
    enough, the one with the most room. Nobody is left out for want of credit."""
    bound = found[0][1].own_bytes

    def fits(option: Option) -> int:
        return for_files(min(bound, option[1].fits_bytes))

    for option in found:
        if fits(option) >= wanted_bytes:
            return option
    return max(found, key=fits)


def who_takes_part(member: Member, marks: Sequence[bytes], candidates: list[Candidate]) -> Option:
    """The friends of tonight, and how much fits with them. It blocks."""
    found = options(own_account(member), candidates, read_presence(member.catalog))
    if found[0][1].bound != "friends" or len(found) == 1:
        return found[0]
    last = member.catalog.last_tree()
    try:
        record = member.read_root()
        before = {} if last is None else LastNight.of(last[1], {}).roots
    except (FormatError, OSError):
        return found[0]  # told when the night itself reads them
    patterns = ignored_of(member.catalog, record.settings if record is not None else {})
    ignored = Ignored(patterns, marks)
    exclude = [bytes(member.home)]
    return choose(found, new_tonight(marks, exclude, ignored, member.catalog, before))
