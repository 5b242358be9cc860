"""Between our small `Description` and the SDP that libdatachannel wants to hear and speaks.

Pure. SDP stays within this computer: it is made here, from fields that were checked, for the one
data channel that a link is, and what libdatachannel says of itself is read here and no further.
"""

from __future__ import annotations

import ipaddress
from typing import Final, Literal, cast

from datachannel.channel_link import MESSAGE_BYTES_MAX
from datachannel.signals import CANDIDATES_MAX, Candidate, CandidateKind, Description

SCTP_PORT: Final = 5000
MEDIA_ID: Final = "0"
"""The name of the one thing that the SDP describes."""

_KINDS: Final = ("host", "srflx", "relay")
_SETUPS: Final = ("actpass", "active", "passive")


class NotUnderstood(ValueError):
    """SDP that lacks what a description needs."""


def sdp_of(description: Description) -> str:
    """The other end, as libdatachannel wants to hear of it."""
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {MEDIA_ID}",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        f"a=mid:{MEDIA_ID}",
        "a=sendrecv",
        f"a=sctp-port:{SCTP_PORT}",
        f"a=max-message-size:{MESSAGE_BYTES_MAX}",
        f"a=setup:{description.setup}",
        f"a=ice-ufrag:{description.username}",
        f"a=ice-pwd:{description.password}",
        f"a=fingerprint:sha-256 {description.fingerprint.hex(':').upper()}",
        *(f"a={line_of(one)}" for one in description.candidates),
    ]
    if description.complete:
        lines.append("a=end-of-candidates")
    return "\r\n".join(lines) + "\r\n"


def line_of(candidate: Candidate) -> str:
    """One address, as SDP has it."""
    line = (
        f"candidate:{candidate.foundation} 1 UDP {candidate.priority} "
        f"{candidate.address} {candidate.port} typ {candidate.kind}"
    )
    # Where it was seen from is nobody's business, and must be named all the same.
    return line if candidate.kind == "host" else f"{line} raddr 0.0.0.0 rport 0"


def description_of(sdp: str) -> Description:
    """What libdatachannel says of itself. Raises NotUnderstood."""
    found: dict[str, str] = {}
    candidates: list[Candidate] = []
    for line in sdp.splitlines():
        name, _, value = line.removeprefix("a=").partition(":")
        if name == "candidate":
            candidates += _candidate_of(value)
        elif line.startswith("a="):
            found.setdefault(name, value)
    algorithm, _, digest = found.get("fingerprint", "").partition(" ")
    setup = found.get("setup")
    if algorithm.lower() != "sha-256" or setup not in _SETUPS:
        raise NotUnderstood("a description without a certificate, or without a part to play")
    relays = [one for one in candidates if one.kind == "relay"]
    others = [one for one in candidates if one.kind != "relay"]
    try:
        return Description(
            username=found.get("ice-ufrag", ""),
            password=found.get("ice-pwd", ""),
            fingerprint=bytes.fromhex(digest.replace(":", "")),
            setup=cast("Literal['actpass', 'active', 'passive']", setup),
            candidates=tuple(others[: CANDIDATES_MAX - len(relays)] + relays),
        )
    except ValueError as error:
        raise NotUnderstood(str(error)) from None


def _candidate_of(value: str) -> list[Candidate]:
    """The address in a candidate's line; none when no peer could use it."""
    try:
        foundation, _, _, priority, address, port, _, kind, *_ = value.split()
        if kind not in _KINDS:
            return []
        return [
            Candidate(
                kind=cast("CandidateKind", kind),
                address=str(ipaddress.ip_address(address)),
                port=int(port),
                priority=int(priority),
                foundation=foundation,
            )
        ]
    except ValueError:
        return []
