"""What a person decided once, and what nights remember: in the root record, so that it survives.

A change waits in the catalog until the next root record takes it up.
"""

from __future__ import annotations

from collections.abc import Mapping

from chunking.formats import ChunkId
from chunking.tree import split_ids
from peer.backup.ignore import next_ignored, without_ignored
from peer.catalog import Catalog
from peer.upkeep.retention import Keep, parse_keep

Settings = dict[str, str | int]

HOLD_RECORDS = 60
"""A hold ends by itself after so many root records: some two months of nights in which the person
was told each time. What it kept is then thinned out like everything else, not dropped."""

_KEEP, _HOLD, _HOLD_COUNTER = "keep", "hold", "hold_counter"
_WAITING_KEEP, _CONFIRMED, _FORGOTTEN = "waiting keep", "confirmed", "forgotten"


def keep_of(catalog: Catalog, settings: Mapping[str, str | int]) -> Keep:
    """The retention that holds from the next night on."""
    waiting = catalog.get_meta(_WAITING_KEEP)
    text = waiting.decode() if waiting is not None else str(settings.get(_KEEP, ""))
    try:
        return parse_keep(text)
    except ValueError:
        return Keep()  # written by a newer Covey; ours is the common one


def change_keep(catalog: Catalog, keep: Keep) -> None:
    """Use this retention from the next night on."""
    catalog.set_meta(_WAITING_KEEP, str(keep).encode())


def hold_of(catalog: Catalog, settings: Mapping[str, str | int], counter: int) -> bytes:
    """The last snapshot before a drastic night that nobody has confirmed; empty for none."""
    text, since = settings.get(_HOLD, ""), settings.get(_HOLD_COUNTER, 0)
    if not isinstance(text, str) or not isinstance(since, int):
        return b""
    if counter - since >= HOLD_RECORDS or catalog.get_meta(_CONFIRMED) == text.encode():
        return b""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def confirm(catalog: Catalog, hold: bytes) -> None:
    """The person says that the drastic night was meant."""
    catalog.set_meta(_CONFIRMED, hold.hex().encode())


def forgotten(catalog: Catalog) -> list[ChunkId]:
    """Snapshots that the person wants to be rid of; they go with the next night."""
    return split_ids(catalog.get_meta(_FORGOTTEN) or b"")


def forget(catalog: Catalog, snapshot: ChunkId) -> None:
    """Let a snapshot go with the next night."""
    there = {row.id for row in catalog.snapshots()}
    wanted = {ident for ident in (*forgotten(catalog), snapshot) if ident in there}
    catalog.set_meta(_FORGOTTEN, b"".join(sorted(wanted)))


def next_settings(
    catalog: Catalog, settings: Mapping[str, str | int], hold: bytes, counter: int
) -> Settings:
    """What root record number `counter` says; a hold counts from the record that began it."""
    rest = without_ignored(settings) | next_ignored(catalog, settings)
    rest = {name: value for name, value in rest.items() if name not in (_HOLD, _HOLD_COUNTER)}
    rest[_KEEP] = str(keep_of(catalog, settings))
    if not hold:
        return rest
    began = settings.get(_HOLD_COUNTER, counter) if settings.get(_HOLD) == hold.hex() else counter
    return {**rest, _HOLD: hold.hex(), _HOLD_COUNTER: began}
