"""The calls of a member's `Service` and their arguments: all that crosses between two processes.

A new method of `peer.service.Service` needs a line here and one in `peer.api.ApiClient`.
"""

from __future__ import annotations

import msgspec


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Paths(msgspec.Struct, forbid_unknown_fields=True):
    paths: list[str]


class _Restore(msgspec.Struct, forbid_unknown_fields=True):
    snapshot: str
    to: str
    paths: list[str] = []
    overwrite: str = "always"
    dry_run: bool = False


class _Check(msgspec.Struct, forbid_unknown_fields=True):
    what: str = "listings"
    percent: float = 100


class _Leave(msgspec.Struct, forbid_unknown_fields=True):
    now: bool = False


class _Rule(msgspec.Struct, forbid_unknown_fields=True):
    rule: str


class _Snapshot(msgspec.Struct, forbid_unknown_fields=True):
    snapshot: str


class _Url(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    alone: bool = False


class _Limits(msgspec.Struct, forbid_unknown_fields=True):
    up: str = ""
    down: str = ""
    spare: bool | None = None


class _Offer(msgspec.Struct, forbid_unknown_fields=True):
    offer_bytes: int


class _Place(msgspec.Struct, forbid_unknown_fields=True):
    snapshot: str
    path: str = ""


class _Page(msgspec.Struct, forbid_unknown_fields=True):
    snapshot: str
    path: str = ""
    offset: int = 0
    count: int = 200
    begins: str = ""


class _Path(msgspec.Struct, forbid_unknown_fields=True):
    path: str


class _Preview(msgspec.Struct, forbid_unknown_fields=True):
    snapshot: str
    path: str
    size_max: int


class _Patterns(msgspec.Struct, forbid_unknown_fields=True):
    patterns: list[str]


class _Until(msgspec.Struct, forbid_unknown_fields=True):
    until: str


class _Schedule(msgspec.Struct, forbid_unknown_fields=True):
    by_itself: bool


class _Pattern(msgspec.Struct, forbid_unknown_fields=True):
    pattern: str


# Method of Service -> its arguments. This table is the whole protocol.
CALLS: dict[str, type[msgspec.Struct]] = {
    "status": _Nothing,
    "friends": _Nothing,
    "matrix": _Nothing,
    "snapshots": _Nothing,
    "history": _Nothing,
    "keep": _Rule,
    "confirm": _Nothing,
    "forget": _Snapshot,
    "move_server": _Url,
    "limits": _Nothing,
    "activity": _Nothing,
    "pause": _Until,
    "schedule": _Nothing,
    "set_schedule": _Schedule,
    "set_limits": _Limits,
    "space": _Nothing,
    "set_space": _Offer,
    "marks": _Nothing,
    "mark": _Paths,
    "unmark": _Paths,
    "ls": _Place,
    "tree": _Page,
    "versions": _Path,
    "preview": _Preview,
    "left_out": _Nothing,
    "marks_detail": _Nothing,
    "ignore": _Nothing,
    "set_ignore": _Patterns,
    "suggest_ignore": _Nothing,
}
STREAMS: dict[str, type[msgspec.Struct]] = {
    "find": _Pattern,
    "backup": _Nothing,
    "restore": _Restore,
    "check": _Check,
    "leave": _Leave,
    "doctor": _Nothing,
}
