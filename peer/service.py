"""What a member can be asked to do, whoever asks.

The command line, the window and the tests speak to a member through `Service` alone. A node in the
same process implements it, and `peer.api.ApiClient` implements it for a node in another process, so
that nobody needs to know which of the two they hold.

Paths are `str` as `os.fsdecode` makes them: a byte that is not UTF-8 becomes a lone surrogate, and
`os.fsencode` brings it back. Answers are plain dicts and lists that JSON can carry.

Long work answers with events, in order, the last of which is `done`:

    {"event": "progress",
     "stage": "scan" | "ship" | "finish" | "fetch" | "wait" | "write" | "check" | "drill" |
              "care",
     "files", "files_total", "bytes", "bytes_total", "shipped_bytes", "rate", "seconds_left",
     "friends": {name: shares}, "waiting_for": [name],
    }                                            totals and seconds_left are None while unknown
    {"event": "found", ...}                      an entry, when something is looked for
    {"event": "finding", ...}                    what the doctor found
    {"event": "note", "path", "text"}            something that was left out, and why
    {"event": "done", "ok", "message", "next_step", "summary": {...}}

Closing the iterator early ends the work; what was shipped by then is kept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

Event = dict[str, Any]
Answer = dict[str, Any]

CHECKS = ("listings", "data", "rebuild", "drill")
"""What `check` can be asked to do."""


class Problem(Exception):
    """What was asked cannot be done: `text` says why and `next_step` what a person can do about it.

    Both are whole sentences in plain words, fit to be shown as they are.
    """

    def __init__(self, text: str, next_step: str = "", *, code: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.next_step = next_step
        self.code = code


def progress(
    stage: str,
    *,
    files: int = 0,
    files_total: int | None = None,
    bytes_done: int = 0,
    bytes_total: int | None = None,
    shipped_bytes: int = 0,
    rate: float = 0.0,
    seconds_left: float | None = None,
    friends: Mapping[str, int] | None = None,
    waiting_for: Sequence[str] = (),
) -> Event:
    """A progress event; `rate` is in bytes a second, `friends` counts the shares each one took,
    `waiting_for` are friends who are away and may have what is missing.
    """
    return {
        "event": "progress",
        "stage": stage,
        "files": files,
        "files_total": files_total,
        "bytes": bytes_done,
        "bytes_total": bytes_total,
        "shipped_bytes": shipped_bytes,
        "rate": rate,
        "seconds_left": seconds_left,
        "friends": dict(friends or {}),
        "waiting_for": list(waiting_for),
    }


def note(path: str, text: str) -> Event:
    """An event about one path that was left out or could not be kept whole."""
    return {"event": "note", "path": path, "text": text}


def done(
    *, ok: bool, message: str, next_step: str = "", summary: Mapping[str, Any] | None = None
) -> Event:
    """The last event of long work; `ok` is true only when all that was asked is true."""
    return {
        "event": "done",
        "ok": ok,
        "message": message,
        "next_step": next_step,
        "summary": dict(summary or {}),
    }


class Service(Protocol):
    """One member, as its owner sees it. Every call raises `Problem` and nothing else by design."""

    async def status(self) -> Answer:
        """How this member is.

        group, member (its name), member_id (hex), server, connected, friends, friends_online,
        marks: [path], last_snapshot (as in `snapshots`, or None), can_vanish (friends that may be
        lost without loss, or None), unsafe_packs, doing (what long work is under way, or ""),
        links: [{friend, engine, state: connecting | open | failed, bytes_sent, bytes_received,
        rtt_s or None, relayed or None, bytes_per_s, failure (why the last attempt came to nothing,
        or ""), failed_s_ago}], drill (of the
        last restore drill: time_ns, ok, sentence, files, bytes, compared, different,
        different_paths, lost, lost_paths, friends, failed; None before the first),
        room (a sentence on how much more fits, "" without friends), care (of the last time that the
        group was looked after: time_ns and steps: [{step, text}]; None before),
        warnings: [text], sentence (how safe everything is, for a person),
        next_night_ns (when the next night is due; 0 when none comes by itself), paused_until_ns
        (0 when nights are not paused), waiting_because (a sentence, while a night is due).
        """
        ...

    async def friends(self) -> list[Answer]:
        """The other members: name, member (hex), online, offer_bytes, shares (of ours, there),
        stored_bytes (of those shares), held_bytes (theirs, here), last_seen_ns (0 when never),
        uptime (the part of the time that they are there, None while hardly known) and engine, None
        without a link; usage_bytes, shown_bytes and credit_bytes as in the ledger of `space`; score
        (0 to 1, by audits), audit (what they found wrong, a sentence without its subject, or "")
        and audit_failed_ns (when the last one failed, 0 for never); away_s (observed), grace_s
        (after so long away it counts as gone), gone; note (what there is to say of it, a sentence
        without its subject, or "").
        """
        ...

    async def matrix(self) -> Answer:
        """Who keeps which parts: friends (names), packs (how many), and rows, for each friend the
        shares in each column of packs; no more than 200 columns.
        """
        ...

    async def snapshots(self) -> list[Answer]:
        """Every snapshot, oldest first: id (hex), time_ns, files, bytes, complete."""
        ...

    async def history(self) -> Answer:
        """keep (the retention in words), held (hex of the snapshot up to which all stay since the
        night after it was drastic, or None), forgotten (hex of those that go with the next night).
        """
        ...

    async def keep(self, rule: str) -> Answer:
        """Change the retention, `7 daily 5 weekly 12 monthly 3 yearly` say; answers `history`."""
        ...

    async def confirm(self) -> Answer:
        """A night that dropped or rewrote most files was meant; answers `history`."""
        ...

    async def forget(self, snapshot: str) -> Answer:
        """Let a snapshot go with the next night; answers `history`."""
        ...

    async def move_server(self, url: str, alone: bool = False) -> Answer:
        """Move the group, or this member alone, to another server; answers `server`.

        `lan` is whatever there is on the local network.
        """
        ...

    async def limits(self) -> Answer:
        """How much of the line the links may take: up_bytes_per_s and down_bytes_per_s (None: no
        limit), spare (only what nobody else uses), and what that comes to at this moment:
        now_up_bytes_per_s, now_down_bytes_per_s (None: no bound).
        """
        ...

    async def set_limits(self, up: str = "", down: str = "", spare: bool | None = None) -> Answer:
        """Change limits, `5Mbit`, `2MB` or `none`, leaving those that are empty or None; answers
        `limits`.
        """
        ...

    async def activity(self) -> Answer:
        """What happened, oldest first: nights: [{time_ns, ok, seconds, files, new_bytes,
        shipped_bytes, message, friends, asked_for}], messages: [{time_ns, level, text, key}],
        traffic: [{time_ns, up_bytes, down_bytes}], of an hour each.
        """
        ...

    async def pause(self, until: str) -> Answer:
        """No nights by themselves until `hour` (an hour from now) or `tomorrow`; `no` ends that.
        Answers next_night_ns, paused_until_ns and waiting_because.
        """
        ...

    async def schedule(self) -> Answer:
        """by_itself (whether nights come without being asked for), next_night_ns,
        paused_until_ns, waiting_because.
        """
        ...

    async def set_schedule(self, by_itself: bool) -> Answer:
        """Let nights come by themselves, or no more, over restarts; answers `schedule`."""
        ...

    async def space(self) -> Answer:
        """offer_bytes, held_bytes (others' shares here), friends_offer_bytes, stored_bytes (our
        shares at friends), packed_bytes (the same before coding), chunks, needed, total.

        usage_bytes (what we take of the group), shown_bytes (what audits have shown that we keep),
        credit_bytes (what we may take), fits_bytes (how much more can be backed up), bound (by
        what: offer, shown, friends), proposal ({give_bytes, gain_bytes} or None), sentence (of how
        much fits, and what to give), warnings, and ledger: for each member name, member (hex), you
        (whether that is us), offer_bytes, held_bytes, usage_bytes, shown_bytes, credit_bytes,
        counter and told_ns (of its statement, 0 without), says: [{name, member, held_bytes,
        shown_bytes}] (its statement).
        """
        ...

    async def set_space(self, offer_bytes: int) -> Answer:
        """From now on give so much; answers `space`. Too little or too much is a Problem."""
        ...

    async def marks(self) -> list[str]:
        """The marked roots, absolute, sorted."""
        ...

    async def mark(self, paths: Sequence[str]) -> list[str]:
        """Add absolute paths to the marks; answers all marks. Marking twice is a success."""
        ...

    async def unmark(self, paths: Sequence[str]) -> list[str]:
        """Take paths off the marks; answers all marks. A path that is not marked is a Problem."""
        ...

    def backup(self) -> AsyncIterator[Event]:
        """One night now. A second one at the same time is a Problem."""
        ...

    def restore(
        self,
        snapshot: str,
        to: str,
        paths: Sequence[str] = (),
        overwrite: str = "always",
        dry_run: bool = False,
    ) -> AsyncIterator[Event]:
        """Bring a snapshot (an id, a unique beginning of one, or `latest`) or paths of it back.

        Files go to `to`/<their full original path>, with `to` of "/" to where they came from;
        `overwrite` is always, older or never. What is there with the right content is kept as it
        is. With `dry_run` nothing is written and the summary tells what would be.
        """
        ...

    async def ls(self, snapshot: str, path: str = "") -> list[Answer]:
        """One directory of a snapshot, or the one entry of a file; "" is above the marked roots.

        name, path, kind: file | folder | link, size, mode, mtime_ns, and target of a link.
        """
        ...

    async def tree(
        self, snapshot: str, path: str = "", offset: int = 0, count: int = 200, begins: str = ""
    ) -> Answer:
        """A page of one folder, folders first, then by name: snapshot (hex), path, total, folders
        (how many of them are), offset, entries (as in `ls`, at most `count`), at.

        With `begins`, `at` is the place of the next entry from `offset` on, round and round, whose
        name begins so, or None. A folder that was looked at is remembered; the newest snapshot's
        folders are here and need no friend.
        """
        ...

    async def versions(self, path: str) -> list[Answer]:
        """Each version of a file, newest first: snapshot (hex, the newest that has it), time_ns (of
        that snapshot), since_ns (of the first one in a row that has it), size, mtime_ns.
        """
        ...

    async def preview(self, snapshot: str, path: str, size_max: int) -> Answer:
        """The beginning of a file: kind (text, image or other), type (the media type), size,
        whole (whether all of it is there), data (base64). A picture is told whole or not at all.
        """
        ...

    async def left_out(self) -> list[Answer]:
        """What the last night left out: path and text (why)."""
        ...

    async def marks_detail(self) -> list[Answer]:
        """Each mark: path, kind (file or folder), there (now), tagged (it came by a file manager's
        tag), files and bytes (of the last night, None when it was not seen by one).
        """
        ...

    async def ignore(self) -> Answer:
        """patterns: what is left out of nights, as in a .gitignore (`peer/backup/ignore.py`)."""
        ...

    async def set_ignore(self, patterns: Sequence[str]) -> Answer:
        """Leave these out from the next night on, and nothing else; answers `ignore`."""
        ...

    async def suggest_ignore(self) -> Answer:
        """What is usually not worth a backup and lies below the marks: suggestions: [{topic,
        patterns, files, bytes, places (up to three paths), on}] and whole (False when there is
        more than was looked at). Takes seconds on a large disk.
        """
        ...

    def find(self, pattern: str) -> AsyncIterator[Event]:
        """Entries of all snapshots whose name matches a shell pattern, each as it is found.

        A `found` event has what `ls` tells, and snapshot (hex): each version of a file once, with
        the newest snapshot that has it.
        """
        ...

    def check(self, what: str = "listings", percent: float = 100) -> AsyncIterator[Event]:
        """Tell whether everything can come back from the friends who are there.

        `listings` asks what they hold and audits some of it, `data` also reads `percent` of the
        packs back, `rebuild` makes the catalog anew from friends, `drill` restores a few files.
        """
        ...

    def leave(self, now: bool = False) -> AsyncIterator[Event]:
        """Leave the group for good: hand over what is held, unless `now`, and say goodbye.

        After `done` there is no member here any more: an agent with pages waits for another one to
        be made, one without ends.
        """
        ...

    def doctor(self) -> AsyncIterator[Event]:
        """Look for what is wrong with the network, the disk and the clock.

        A `finding` event for each thing that was looked at: about, level (ok, warning, problem),
        text and advice, whole sentences. `done` is ok when none is a problem.
        """
        ...
