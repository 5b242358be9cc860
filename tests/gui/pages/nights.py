"""Nights as the agent tells of them: a few folders, and one of as many files as a test wants."""

from __future__ import annotations

import base64
import struct
import time
import zlib
from collections.abc import Callable
from typing import Any

from tests.gui.pages import samples
from tests.gui.pages.scripted import Agent, Refused

HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
NIGHTS_AGO = (330, 180, 90, 60, 30, 21, 14, 7, 6, 5, 4, 3, 2, 1, 0)
MANY = 100_000
YEARS = (2023, 2024)
HOME = "/home/ann"
LETTER = f"{HOME}/Documents/letter.txt"
PHOTO = f"{HOME}/Pictures/hill.png"


def night_id(at: int) -> str:
    return f"{at + 16:02x}" * 32


def snapshots() -> list[dict[str, Any]]:
    now = time.time_ns() - 5 * HOUR_NS
    return [
        {
            "id": night_id(at), "time_ns": now - ago * DAY_NS, "files": 12_000 + 31 * at,
            "bytes": 80 * samples.GB + at * 10**9, "complete": True,
        }
        for at, ago in enumerate(NIGHTS_AGO)
    ]  # fmt: skip


def entry(path: str, kind: str = "file", size: int = 0) -> dict[str, Any]:
    leading = path in ("/home", HOME)
    mtime_ns = 0 if leading else time.time_ns() - 40 * DAY_NS
    name = path.rsplit("/", 1)[1]
    return {"name": name, "path": path, "kind": kind, "size": size, "mode": 0o644,
            "mtime_ns": mtime_ns}  # fmt: skip


def folders(many: int = MANY) -> dict[str, Callable[[int], dict[str, Any]] | list[dict[str, Any]]]:
    documents, pictures = f"{HOME}/Documents", f"{HOME}/Pictures"
    return {
        "": [entry("/home", "folder")],
        "/": [entry("/home", "folder")],
        "/home": [entry(HOME, "folder")],
        HOME: [entry(documents, "folder"), entry(pictures, "folder")],
        documents: [
            entry(f"{documents}/Taxes", "folder"),
            entry(LETTER, size=400),
            entry(f"{documents}/Minutes of the meeting in May.odt", size=81_234),
            entry(f"{documents}/plan.pdf", size=2_345_678),
        ],
        f"{documents}/Taxes": [entry(f"{documents}/Taxes/{y}.pdf", size=97 * y) for y in YEARS],
        pictures: [entry(f"{pictures}/Everything", "folder"), entry(PHOTO, size=2_345)],
        f"{pictures}/Everything": [
            entry(f"{pictures}/Everything/picture {n:06}.jpg", size=3_000_000 + n)
            for n in range(many)
        ],
    }  # fmt: skip


def png(red: int) -> bytes:
    """A small picture of hills."""
    rows = b"".join(
        b"\0" + b"".join(bytes((red, 150 - y, 120 + x // 2 if y < 60 else 60)) for x in range(160))
        for y in range(110)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 160, 110, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )  # fmt: skip


def letter(at: int) -> str:
    words = "Dear Ben,\n\nthe hens are well and lay every day.\nThe roof is done.\n"
    if at > 10:
        words = words.replace("every day", "every other day").replace("The roof is done.\n", "")
    return words + "\nCome and see us in summer.\n\nAnn\n"


def preview(given: dict[str, Any]) -> dict[str, Any]:
    at = int(given["snapshot"][:2], 16) - 16
    if given["path"] == LETTER:
        kind, media, data = "text", "text/plain", letter(at).encode()
    elif given["path"] == PHOTO:
        kind, media, data = "image", "image/png", png(200 if at > 10 else 80)
    else:
        kind, media, data = "other", "", b""
    coded = base64.b64encode(data).decode()
    return {"kind": kind, "type": media, "size": len(data), "whole": True, "data": coded}


def versions(given: dict[str, Any]) -> list[dict[str, Any]]:
    rows = snapshots()
    if given["path"] not in (LETTER, PHOTO):
        return [version(rows[-1], rows[0], 7)]
    return [version(rows[-1], rows[11], 160), version(rows[10], rows[0], 171)]


def version(last: dict[str, Any], first: dict[str, Any], size: int) -> dict[str, Any]:
    return {"snapshot": last["id"], "time_ns": last["time_ns"], "since_ns": first["time_ns"],
            "size": size, "mtime_ns": first["time_ns"]}  # fmt: skip


def with_nights(many: int = MANY) -> Agent:
    """A group in which everything is well, and fifteen nights to look into."""
    agent = samples.group()
    known = folders(many)

    def tree(given: dict[str, Any]) -> dict[str, Any]:
        entries = known.get(given["path"])
        if entries is None:
            raise Refused("", f"«{given['path']}» is not in that snapshot.")
        offset, begins = given.get("offset", 0), given.get("begins", "").lower()
        fits = [n for n, e in enumerate(entries) if begins and e["name"].lower().startswith(begins)]
        at = next((n for n in fits if n >= offset), fits[0] if fits else None)
        return {"snapshot": given["snapshot"], "path": given["path"], "total": len(entries),
                "folders": 0, "offset": offset, "at": at,
                "entries": entries[offset : offset + given.get("count", 200)]}  # fmt: skip

    agent.state["status"]["last_snapshot"] = snapshots()[-1]
    agent.answers |= {
        "snapshots": snapshots(),
        "tree": tree,
        "preview": preview,
        "versions": versions,
        **files_answers(),
    }
    return agent


def files_answers() -> dict[str, Any]:
    return {
        "marks_detail": [
            {"path": f"{HOME}/Documents", "kind": "folder", "files": 3120, "bytes": 4 * 10**9,
             "there": True},
            {"path": f"{HOME}/Pictures", "kind": "folder", "files": 9311, "bytes": 80 * 10**9,
             "there": True},
            {"path": "/media/ann/Camera disk", "kind": "folder", "files": 812, "bytes": 9 * 10**9,
             "there": False},
            {"path": f"{HOME}/New project", "kind": "folder", "files": None, "bytes": None,
             "there": True},
        ],
        "left_out": [
            {"path": f"{HOME}/Documents/locked.key", "text": "left out: permission denied"},
            {"path": f"{HOME}/Documents/socket",
             "text": "left out: not a file, a folder or a link"},
        ],
        "ignore": {"patterns": ["*.iso"]},
        "set_ignore": lambda given: {"patterns": given["patterns"]},
        "suggest_ignore": {
            "suggestions": [
                {"topic": "packages", "patterns": ["node_modules/", ".venv/"], "files": 41_230,
                 "bytes": 3 * 10**9, "places": [f"{HOME}/New project/node_modules"], "on": False},
                {"topic": "caches", "patterns": [".cache/"], "files": 2100, "bytes": 6 * 10**8,
                 "places": [f"{HOME}/.cache"], "on": True},
                {"topic": "tagged", "patterns": [f"{HOME}/Pictures/previews/"], "files": 900,
                 "bytes": 10**8, "places": [f"{HOME}/Pictures/previews"], "on": False},
            ],
            "whole": True,
        },
        "unmark": [],
        "mark": [],
        "choose_folder": Refused("no_chooser", "There is no chooser here."),
        "folders": lambda given: folder_list(given["path"] or HOME),
    }  # fmt: skip


def folder_list(path: str) -> dict[str, Any]:
    names = ("Documents", "Music", "Pictures") if path == HOME else ()
    below = [{"name": name, "path": f"{path}/{name}"} for name in names]
    return {"path": path, "parent": path.rsplit("/", 1)[0] or "/", "folders": below}
