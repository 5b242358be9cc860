"""A `Service` that keeps marks in memory and plays back what a test put in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from peer import service
from peer.service import Answer, Event, Problem

ODD_PATH = "/home/ann/caf\udce9\x1b[2J"  # a byte that is not UTF-8, and a terminal command


class FakeService:
    """Answers plainly; `events` is what long work tells, `calls` what was asked."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.ignored: list[str] = ["*.tmp"]
        self.calls: list[tuple[str, Any]] = []
        self.events: list[Event] = [
            service.progress("scan", files=3, bytes_done=3_000_000),
            service.progress(
                "ship",
                files=3,
                files_total=3,
                bytes_done=1_000_000,
                bytes_total=3_000_000,
                shipped_bytes=500_000,
                rate=1_000_000,
                seconds_left=2,
                friends={"bob": 2, "cy\x1b": 1},
            ),
            service.note(ODD_PATH, "could not be read"),
            service.done(ok=True, message="All 3 files are safe.", summary={"files": 3}),
        ]
        self.problem: Exception | None = None
        self.hang = False
        self.closed_early = asyncio.Event()

    async def status(self) -> Answer:
        self._raise()
        return {
            "group": "smiths",
            "member": "laptop",
            "member_id": "ab" * 32,
            "server": "http://127.0.0.1:8000",
            "connected": True,
            "friends": 2,
            "friends_online": 1,
            "marks": [ODD_PATH],
            "last_snapshot": (await self.snapshots())[0],
            "can_vanish": 1,
            "unsafe_packs": 0,
            "doing": "backing up",
            "links": [
                {
                    "friend": "bob",
                    "engine": "aiortc",
                    "state": "open",
                    "bytes_sent": 1000,
                    "bytes_received": 20,
                    "rtt_s": 0.004,
                    "relayed": True,
                    "bytes_per_s": 2_500_000.0,
                    "failure": "",
                    "failed_s_ago": 0.0,
                },
                {
                    "friend": "cy",
                    "engine": "",
                    "state": "failed",
                    "bytes_sent": 0,
                    "bytes_received": 0,
                    "rtt_s": None,
                    "relayed": None,
                    "bytes_per_s": 0.0,
                    "failure": "the friend did not answer the call",
                    "failed_s_ago": 130.0,
                },
            ],
            "drill": {
                "time_ns": 10**18,
                "ok": True,
                "sentence": "The restore drill brought back 20 files; all are the same.",
            },
            "room": "You can back up 4.0 GB more.",
            "care": {"time_ns": 10**18, "steps": [{"step": "audit", "text": "Friends showed 4."}]},
            "warnings": ["bob was not seen for 5 days."],
            "sentence": "All 3 files are safe with 2 friends.",
        }

    async def friends(self) -> list[Answer]:
        self._raise()
        friend = {"member": "cd" * 32, "offer_bytes": 5 * 10**9, "shares": 12, "note": ""}
        friend |= {"stored_bytes": 48 * 10**6, "held_bytes": 10**9, "uptime": 0.93, "score": 1.0}
        away = {"note": "has been away for 2 days.", "uptime": None, "score": None}
        return [
            {"name": "bob\x1b[31m", "online": True, "engine": "aiortc", **friend},
            {"name": "cy", "online": False, "engine": None, **friend, **away},
        ]

    async def matrix(self) -> Answer:
        self._raise()
        return {"friends": ["bob", "cy"], "packs": 2, "rows": [[1, 1], [1, 0]]}

    async def snapshots(self) -> list[Answer]:
        self._raise()
        facts = {"files": 12_431, "bytes": 3_000_000, "complete": True}
        return [{"id": "ef" * 32, "time_ns": 10**18, **facts}]

    async def history(self) -> Answer:
        self._raise()
        return {"keep": "7 daily 5 weekly 12 monthly 3 yearly", "held": None, "forgotten": []}

    async def keep(self, rule: str) -> Answer:
        self.calls.append(("keep", rule))
        return await self.history() | {"keep": rule}

    async def confirm(self) -> Answer:
        self.calls.append(("confirm", None))
        return await self.history()

    async def forget(self, snapshot: str) -> Answer:
        self.calls.append(("forget", snapshot))
        return await self.history()

    async def move_server(self, url: str, alone: bool = False) -> Answer:
        self.calls.append(("move_server", (url, alone)))
        return {"server": url}

    async def activity(self) -> Answer:
        self._raise()
        night = {"time_ns": 10**18, "ok": True, "seconds": 75.0, "files": 3, "new_bytes": 2_000_000}
        ended = {"shipped_bytes": 5_000_000, "message": "All is safe.", "friends": 2}
        said = {"time_ns": 10**18, "level": "warning", "text": "bob was not seen.", "key": "x"}
        nights = [{**night, **ended, "asked_for": False}]
        return {"nights": nights, "messages": [said], "traffic": []}

    async def pause(self, until: str) -> Answer:
        self.calls.append(("pause", until))
        return {"next_night_ns": 0, "paused_until_ns": 10**18, "waiting_because": ""}

    by_itself = True

    async def schedule(self) -> Answer:
        self._raise()
        facts = {"next_night_ns": 10**18, "paused_until_ns": 0, "waiting_because": ""}
        return {"by_itself": self.by_itself, **facts}

    async def set_schedule(self, by_itself: bool) -> Answer:
        self.calls.append(("set_schedule", by_itself))
        self.by_itself = by_itself
        return await self.schedule()

    async def limits(self) -> Answer:
        self._raise()
        limits = {"up_bytes_per_s": 625_000.0, "down_bytes_per_s": None, "spare": True}
        return {**limits, "now_up_bytes_per_s": 250_000.0, "now_down_bytes_per_s": 10**7}

    async def set_limits(self, up: str = "", down: str = "", spare: bool | None = None) -> Answer:
        self.calls.append(("set_limits", (up, down, spare)))
        return await self.limits()

    async def space(self) -> Answer:
        self._raise()
        return {
            "offer_bytes": 10**10,
            "held_bytes": 10**9,
            "friends_offer_bytes": 5 * 10**10,
            "stored_bytes": 2 * 10**9,
            "packed_bytes": 10**9,
            "chunks": 1000,
            "usage_bytes": 2 * 10**9,
            "shown_bytes": 5 * 10**8,
            "credit_bytes": 10**10,
            "fits_bytes": 4 * 10**9,
            "bound": "offer",
            "proposal": {"give_bytes": 5 * 10**9, "gain_bytes": 25 * 10**8},
            "sentence": "You can back up 4.0 GB more; give 5.0 GB more to the group for 2.5 GB.",
            "warnings": ["You take too much."],
            "ledger": [
                {
                    "member": "ab" * 32,
                    "name": "laptop",
                    "you": True,
                    "offer_bytes": 10**10,
                    "held_bytes": 10**9,
                    "usage_bytes": 2 * 10**9,
                    "shown_bytes": 5 * 10**8,
                    "credit_bytes": 10**10,
                    "counter": 7,
                    "told_ns": 10**18,
                    "says": [
                        {
                            "name": "bob\x1b",
                            "member": "cd" * 32,
                            "held_bytes": 10**9,
                            "shown_bytes": 48 * 10**6,
                        }
                    ],
                }
            ],
        }

    async def set_space(self, offer_bytes: int) -> Answer:
        self.calls.append(("set_space", offer_bytes))
        return await self.space()

    async def marks(self) -> list[str]:
        self._raise()
        return sorted(self.kept)

    async def mark(self, paths: Sequence[str]) -> list[str]:
        self._raise()
        self.calls.append(("mark", list(paths)))
        self.kept = sorted({*self.kept, *paths})
        return self.kept

    async def unmark(self, paths: Sequence[str]) -> list[str]:
        self._raise()
        for path in paths:
            if path not in self.kept:
                raise Problem(f"{path} is not marked.", "See `covey marks`.", code="not_marked")
            self.kept.remove(path)
        return self.kept

    def leave(self, now: bool = False) -> AsyncIterator[Event]:
        self.calls.append(("leave", now))
        return self._play()

    def doctor(self) -> AsyncIterator[Event]:
        self.calls.append(("doctor", None))
        return self._play()

    def backup(self) -> AsyncIterator[Event]:
        self.calls.append(("backup", None))
        return self._play()

    def restore(
        self,
        snapshot: str,
        to: str,
        paths: Sequence[str] = (),
        overwrite: str = "always",
        dry_run: bool = False,
    ) -> AsyncIterator[Event]:
        self.calls.append(("restore", (snapshot, to, list(paths), overwrite, dry_run)))
        return self._play()

    async def ls(self, snapshot: str, path: str = "") -> list[Answer]:
        self._raise()
        self.calls.append(("ls", (snapshot, path)))
        facts = {"path": "/home/x", "size": 12, "mode": 0o644, "mtime_ns": 10**18}
        return [
            {"name": ODD_PATH, "kind": "file", **facts},
            {"name": "link", "kind": "link", **facts, "target": "a\nb"},
        ]

    async def tree(
        self, snapshot: str, path: str = "", offset: int = 0, count: int = 200, begins: str = ""
    ) -> Answer:
        self.calls.append(("tree", (snapshot, path, offset, count, begins)))
        entries = await self.ls(snapshot, path)
        return {"snapshot": "01" * 32, "path": path, "total": len(entries), "folders": 0,
                "offset": 0, "at": None, "entries": entries}  # fmt: skip

    async def versions(self, path: str) -> list[Answer]:
        self.calls.append(("versions", path))
        return []

    async def preview(self, snapshot: str, path: str, size_max: int) -> Answer:
        self.calls.append(("preview", (snapshot, path, size_max)))
        return {"kind": "text", "type": "text/plain", "size": 1, "whole": True, "data": "eA=="}

    async def left_out(self) -> list[Answer]:
        return [{"path": ODD_PATH, "text": "left out: permission denied"}]

    async def marks_detail(self) -> list[Answer]:
        return [{"path": ODD_PATH, "kind": "file", "there": True, "files": 1, "bytes": 1}]

    async def ignore(self) -> Answer:
        return {"patterns": self.ignored}

    async def set_ignore(self, patterns: Sequence[str]) -> Answer:
        self.ignored = list(patterns)
        return await self.ignore()

    async def suggest_ignore(self) -> Answer:
        return {"suggestions": [], "whole": True}

    async def find(self, pattern: str) -> AsyncIterator[Event]:
        self._raise()
        if pattern != "nothing":
            facts = {"kind": "file", "size": 12, "mtime_ns": 10**18}
            place = {"snapshot": "ef" * 32, "path": "/home/ann/a.jpg"}
            yield {"event": "found", **place, **facts}
        yield {"event": "done", "ok": True, "message": "", "next_step": "", "summary": {}}

    def check(self, what: str = "listings", percent: float = 100) -> AsyncIterator[Event]:
        self.calls.append(("check", (what, percent)))
        return self._play()

    async def _play(self) -> AsyncIterator[Event]:
        self._raise()
        finished = False
        try:
            for event in self.events:
                yield event
            if self.hang:
                await asyncio.Event().wait()
            finished = True
        finally:
            if not finished:
                self.closed_early.set()

    def _raise(self) -> None:
        if self.problem:
            raise self.problem
