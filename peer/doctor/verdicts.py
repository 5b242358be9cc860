"""From what was measured at the server, the clock, the disk and friends to what is said. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from datachannel.engine import LinkInfo
from peer.doctor.findings import Finding

CLOCK_S_MIN: Final = 5.0
"""A smaller difference may come of the way that the answer took."""
CLOCK_S_MAX: Final = 30.0
"""Friends refuse signals that are a minute off, and their own clock may be wrong by as much."""
WRITE_SLOW: Final = 10_000_000.0
"""Bytes a second; below it the disk, not the network, decides how long a backup takes."""
SPARE_BYTES: Final = 2_000_000_000
"""For the spool, the catalog and what else this computer needs its disk for."""
ROUND_TRIP_SLOW_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Reached:
    """What came of calling a server; `why` is empty when it answered as a server should."""

    url: str
    why: str = ""
    advice: str = ""
    clock_ahead_s: float | None = None
    """How far this computer's clock is ahead of the server's."""
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk with the state folder. Bytes, and bytes a second; `error` when it was not so."""

    free: int
    write_rate: float | None
    error: str = ""


def server(reached: Reached) -> Finding:
    """Whether the server answers, and how well hidden what is said to it is."""
    about, url = "Server", reached.url
    if reached.why:
        return Finding(about, "problem", f"{url} cannot be used: {reached.why}.", reached.advice)
    if reached.took_s > ROUND_TRIP_SLOW_S:
        text = f"{url} answers, but only after {reached.took_s:.0f} s."
        return Finding(about, "warning", text, "See whether something else fills your network.")
    if urlsplit(url).scheme in ("http", "ws") and not _is_near(url):
        return Finding(
            about,
            "warning",
            f"{url} answers, without encryption: who listens on the way sees addresses and times.",
            "Ask who runs it for an https address.",
        )
    return Finding(about, "ok", f"{url} answers.")


def membership(url: str, *, connected: bool, near_only: bool, refusal: str) -> Finding:
    """Whether the server lets this member in."""
    about = "Group"
    if near_only:
        text = "Friends on the local network are reached without the server; others are not."
        return Finding(about, "warning", text, "Nothing: it goes back when the server answers.")
    if connected:
        return Finding(about, "ok", "This computer is in its group now.")
    if refusal:
        return Finding(about, "problem", refusal, "See `covey status`.")
    if url == "lan":
        return Finding(
            about,
            "problem",
            "No server of the group was found on the local network, and none can be run here.",
            "Connect to the network, or name a server: covey move-server URL --alone.",
        )
    return Finding(
        about,
        "problem",
        f"The server {url} has not let this computer into the group yet.",
        "Wait a minute and try again. Friends on the same network are reached all the same.",
    )


def clock(ahead_s: float | None) -> Finding | None:
    """Whether this computer's clock is right, by the server's; None when nobody told the time."""
    if ahead_s is None:
        return None
    about, off_s = "Clock", abs(ahead_s)
    if off_s < CLOCK_S_MIN:
        return Finding(about, "ok", "It agrees with the server's.")
    way = "ahead of" if ahead_s > 0 else "behind"
    text = f"It is {_time(off_s)} {way} the server's."
    advice = "Let this computer set its clock by the internet, in the settings of date and time."
    if off_s < CLOCK_S_MAX:
        return Finding(about, "warning", text, advice)
    return Finding(about, "problem", f"{text} Friends refuse what is dated so wrong.", advice)


def disk(found: Disk, *, offer: int, used: int) -> list[Finding]:
    """Whether there is room for what is given, and whether the disk is fast. In bytes."""
    about = "Disk"
    if found.error:
        advice = "See whether the disk is full, or mounted for reading only."
        return [Finding(about, "problem", f"It cannot be written to: {found.error}.", advice)]
    findings = []
    promised = max(offer - used, 0)
    if found.free < SPARE_BYTES:
        text = f"Only {_size(found.free)} are free."
        findings.append(Finding(about, "problem", text, "Make room, so that backups can go on."))
    elif found.free < promised:
        text = (
            f"You give {_size(offer)}, of which friends may still use {_size(promised)}, but only "
            f"{_size(found.free)} are free."
        )
        findings.append(Finding(about, "warning", text, "Make room, or give less."))
    else:
        findings.append(Finding(about, "ok", f"{_size(found.free)} are free."))
    if found.write_rate is not None:
        text = f"It writes {found.write_rate / 1e6:.0f} MB/s."
        slow = found.write_rate < WRITE_SLOW
        advice = "See whether something else uses it. Backups will be slow." if slow else ""
        findings.append(Finding(about, "warning" if slow else "ok", text, advice))
    return findings


@dataclass(frozen=True, slots=True)
class FriendCalled:
    """A friend, and what came of calling it."""

    name: str
    online: bool
    link: LinkInfo | None
    why: str = ""
    """Why there is no link; empty when there is one."""


def friends(called: Sequence[FriendCalled]) -> list[Finding]:
    """Whether each friend who is there can be reached."""
    about = "Friends"
    if not called:
        step = "Tell them the group's name and its password."
        return [Finding(about, "warning", "Nobody else is in this group yet.", step)]
    findings = [_friend(about, one) for one in called if one.online]
    away = sum(not one.online for one in called)
    if not findings:
        step = "Ask a friend to start a computer."
        return [Finding(about, "warning", "No friend is online now.", step)]
    if away:
        text = f"{away} more are away." if away > 1 else "One more is away."
        findings.append(Finding(about, "ok", text))
    return findings


def _friend(about: str, called: FriendCalled) -> Finding:
    if called.link is None:
        return Finding(
            about,
            "warning",
            f"{called.name} is online and cannot be reached: {called.why or 'nobody knows why'}.",
            "Run `covey doctor` at that computer too; what it says there may be the reason.",
        )
    path = {True: "through the relay", False: "directly", None: "directly or through the relay"}
    text = f"{called.name} is reached {path[called.link.relayed]} by {called.link.engine}"
    if called.link.rtt_s is not None:
        text += f", round trip {called.link.rtt_s * 1000:.0f} ms"
    return Finding(about, "ok", f"{text}.")


def _is_near(url: str) -> bool:
    """Whether it is at this computer or in a private network."""
    host = urlsplit(url).hostname or ""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return ip.is_private or ip.is_loopback


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"


def _time(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} seconds"
