"""Groups as the agent tells of them: a calm one, a lonely one, a large one."""

from __future__ import annotations

import random
import time
from typing import Any

from tests.gui.pages.scripted import Agent

GB = 10**9
HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
NAMES = ("Ann", "Ben", "Clara", "David", "Emma", "Farid", "Greta", "Henry", "Ines", "Jakob")
WORDS = [
    "ladder", "honey", "orbit", "velvet", "candle", "river", "mango", "puzzle", "autumn", "copper",
    "saddle", "meadow", "timber", "violin", "walnut", "pepper", "harbor", "jungle", "kitten",
    "lunar", "noodle", "oyster", "planet", "quarter",
]  # fmt: skip


def friend(at: int, **changes: Any) -> dict[str, Any]:
    now = time.time_ns()
    name = NAMES[at] if at < len(NAMES) else f"Friend {at + 1}"
    facts = {
        "name": name,
        "member": f"{at:064x}",
        "online": at % 3 != 2,
        "offer_bytes": (40 + 15 * (at % 5)) * GB,
        "shares": 700 + 61 * (at % 4),
        "engine": "aiortc" if at % 3 != 2 else None,
        "last_seen_ns": now - (0 if at % 3 != 2 else 5 * HOUR_NS),
        "held_bytes": (3 + at % 7) * GB,
        "uptime": (0.93, 0.71, 0.34, 0.12)[at % 4],
        "stored_bytes": (14 + at % 4) * GB,
        "usage_bytes": (20 + 9 * (at % 5)) * GB,
        "shown_bytes": (3 + at % 7) * GB,
        "credit_bytes": (40 + 15 * (at % 5)) * GB,
        "score": 1.0,
        "audit": "",
        "away_s": 0.0,
        "grace_s": 3 * 86_400.0,
        "gone": False,
        "note": "",
    }
    return facts | changes


def status(**changes: Any) -> dict[str, Any]:
    now = time.time_ns()
    facts = {
        "group": "smiths",
        "member": "laptop",
        "member_id": "ab" * 32,
        "server": "https://covey.example.org",
        "connected": True,
        "friends": 6,
        "friends_online": 4,
        "marks": ["/home/ann/Documents", "/home/ann/Pictures"],
        "last_snapshot": {
            "id": "ef" * 32, "time_ns": now - 7 * HOUR_NS, "files": 12_431, "bytes": 84 * GB,
            "complete": True,
        },
        "can_vanish": 3,
        "unsafe_packs": 0,
        "doing": "",
        "links": [],
        "drill": None,
        "warnings": [],
        "sentence": "All 12,431 files are safe with 6 friends (4 online); any 3 can vanish.",
        "next_night_ns": now + 15 * HOUR_NS,
        "paused_until_ns": 0,
        "waiting_because": "",
        "sheet": "done",
    }  # fmt: skip
    return facts | changes


def activity(days: int = 75) -> dict[str, Any]:
    chance = random.Random(4)
    now = time.time_ns()
    nights, traffic = [], []
    for back in range(days, 0, -1):
        at = now - back * DAY_NS
        traffic.append(
            {
                "time_ns": at,
                "up_bytes": chance.randrange(2 * GB),
                "down_bytes": chance.randrange(GB),
            }
        )
        if chance.random() < 0.08:
            continue
        ok = chance.random() > 0.06
        message = "All 12,431 files are safe." if ok else "Too few friends were there."
        nights.append(
            {
                "time_ns": at, "ok": ok, "seconds": 90 + chance.randrange(900), "files": 12_431,
                "new_bytes": chance.randrange(GB), "shipped_bytes": chance.randrange(2 * GB),
                "message": message, "friends": 6,
            }
        )  # fmt: skip
    messages = [
        {"time_ns": now - 7 * HOUR_NS, "level": "info", "text": "The backup is complete."},
        {"time_ns": now - 3 * DAY_NS, "level": "warning", "text": "Clara was not seen for 5 days."},
    ]
    return {"nights": nights, "messages": messages, "traffic": traffic}


def matrix(count: int, columns: int = 120) -> dict[str, Any]:
    chance = random.Random(2)
    rows = [[int(chance.random() < 0.86) for _ in range(columns)] for _ in range(count)]
    return {"friends": [friend(at)["name"] for at in range(count)], "packs": 240, "rows": rows}


def ledger(friends: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line for each member, us first."""
    own = {"name": "laptop", "member": "ab" * 32, "offer_bytes": 120 * GB, "held_bytes": 71 * GB}
    used = {"usage_bytes": 98 * GB, "shown_bytes": 60 * GB, "credit_bytes": 120 * GB}
    own |= used | {"you": True}
    return [own, *({**friend, "you": False} for friend in friends)]


def group(count: int = 6, **changes: Any) -> Agent:
    """A group in which everything is well."""
    friends = [friend(at) for at in range(count)]
    online = sum(one["online"] for one in friends)
    state = {
        "joined": True,
        "status": status(**({"friends": count, "friends_online": online} | changes)),
        "jobs": {},
    }
    return Agent(
        state,
        {
            "friends": friends,
            "matrix": matrix(count),
            "space": {
                "offer_bytes": 120 * GB, "held_bytes": 71 * GB, "friends_offer_bytes": 390 * GB,
                "stored_bytes": 98 * GB, "packed_bytes": 49 * GB, "chunks": 81_000,
                "needed": 3, "total": 6, "usage_bytes": 98 * GB, "shown_bytes": 60 * GB,
                "credit_bytes": 120 * GB, "fits_bytes": 11 * GB, "bound": "offer",
                "proposal": {"give_bytes": 50 * GB, "gain_bytes": 25 * GB},
                "sentence": "", "warnings": [], "ledger": ledger(friends),
            },
            "space_free": {
                "free_bytes": 210 * GB, "total_bytes": 512 * GB, "default_offer_bytes": 50 * GB,
            },
            "activity": activity(),
            "pause": {},
            "set_space": {},
            "snapshots": [],
            "sheet": {"words": WORDS},
            "cancel": {},
        },
    )  # fmt: skip


def alone(**changes: Any) -> Agent:
    """Joined, and nobody else is."""
    agent = group(0, last_snapshot=None, can_vanish=None, marks=[], **changes)
    agent.answers["space"].update(
        held_bytes=0, stored_bytes=0, packed_bytes=0, friends_offer_bytes=0, needed=0, total=0,
        usage_bytes=0, shown_bytes=0, fits_bytes=0, bound="friends", proposal=None,
        ledger=ledger([]),
    )  # fmt: skip
    agent.answers["activity"] = {"nights": [], "messages": [], "traffic": []}
    agent.answers["matrix"] = {"friends": [], "packs": 0, "rows": []}
    return agent


def fresh() -> Agent:
    """A computer that is in no group yet."""
    agent = group()
    agent.state = {"joined": False, "status": None, "jobs": {}}
    agent.answers["join"] = {"created": False, "words": WORDS}
    agent.answers["mark"] = ["/home/ann/Documents"]
    agent.answers["suggest"] = [
        folder("Documents", files=3120, size=4 * GB),
        folder("Pictures", files=9311, size=80 * GB),
        folder("Desktop", files=0, size=None),
        folder("Music", files=0, size=0, exists=False),
    ]
    return agent


def folder(name: str, *, files: int, size: int | None, exists: bool = True) -> dict[str, Any]:
    """One suggestion; a size of None is being counted."""
    path = f"/home/ann/{name}"
    return {"path": path, "name": name, "exists": exists, "files": files, "bytes": size}
