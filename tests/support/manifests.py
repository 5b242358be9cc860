"""What a folder holds and what holders keep, as plain dictionaries and sets to compare."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from bench.group import MemberProcess
from chunking.formats import SHARE_HEADER_BYTES
from chunking.share import name_of
from peer.catalog import Catalog

Manifest = dict[str, str]


def manifest(folder: Path) -> Manifest:
    """Relative path -> hash of the content, for every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.blake2b(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def restored(owner: MemberProcess, snapshot: str, folder: Path, target: Path) -> Manifest:
    """What a restore of a snapshot brings back of a folder."""
    assert owner.run("restore", snapshot, "--to", str(target), timeout_s=120.0)["ok"]
    return manifest(Path(f"{target}{folder}"))


def expected_at(owner: MemberProcess, holder_id: str) -> set[str]:
    """Names of the shares that a holder must keep, as the owner's catalog has it."""
    catalog = Catalog(owner.home / "catalog.sqlite")
    try:
        return {
            row.shares[number].hex()
            for row in catalog.packs()
            for number, holder in catalog.placements(row.pack).items()
            if holder.hex() == holder_id
        }
    finally:
        catalog.close()


def kept_at(friend: MemberProcess, owner_id: str) -> set[str]:
    """Names of the shares that really lie at a friend; each must have the name of its bytes."""
    names = set()
    for path in (friend.home / "held" / owner_id / "shares").glob("*/*"):
        data = path.read_bytes()
        name = name_of(data[:SHARE_HEADER_BYTES], data[SHARE_HEADER_BYTES:]).hex()
        assert name == path.name, f"{friend.name} keeps {path.name}, whose bytes are {name}"
        names.add(name)
    return names


def begun_at(friend: MemberProcess, owner_id: str) -> dict[str, int]:
    """Beginnings of shares at a friend: name -> bytes."""
    found = {}
    for path in (friend.home / "held" / owner_id / "partial").glob("*"):
        try:
            found[path.name.split(".")[0]] = path.stat().st_size
        except FileNotFoundError:
            continue  # it became a whole share at this moment
    return found


def assert_holders_keep_what_the_catalog_lists(
    owner: MemberProcess, friends: dict[str, MemberProcess]
) -> None:
    """Nothing more, nothing less, and no beginning of what is there whole."""
    owner_id = owner.run("status")["member_id"]
    ids = {friend["name"]: friend["member"] for friend in owner.run("friends")["friends"]}
    for name, friend in friends.items():
        expected, kept = expected_at(owner, ids[name]), kept_at(friend, owner_id)
        assert not expected - kept, f"{name} lacks {len(expected - kept)} of {len(expected)} shares"
        assert not kept - expected, f"{name} keeps {len(kept - expected)} shares too many"
        assert not begun_at(friend, owner_id).keys() & kept


def assert_spool_empty(owner: MemberProcess) -> None:
    """Nothing waits when all holders have everything."""
    assert os.listdir(owner.home / "spool") == []
