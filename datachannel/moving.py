"""Moving a group to another server: a notice that only the group's key can make.

Whoever knows the password can move the group, and nobody else: not the server, which keeps the
notice and shows it to members as they come. Notices have numbers; a member follows a higher one
than it has followed before, and no other, so that an old notice that a server shows again moves
nobody. A number is the seconds since 1970, or one more than the last: of two members who move the
group without having seen each other's notice, the later one counts.

Pure. What a member does with a notice is in peer/finding/servers.py.
"""

from __future__ import annotations

from datachannel.credentials import Credentials, signature_is_right
from signaling.messages import (
    MOVE_NUMBER_MAX,
    MOVE_VERSION,
    SIGNATURE_BYTES,
    MoveNotice,
    move_transcript,
)


def sign_move(credentials: Credentials, url: str, *, moves: int, now: float) -> MoveNotice:
    """The group goes to `url`; the last notice that is known here had the number `moves`."""
    number = min(max(moves + 1, int(now)), MOVE_NUMBER_MAX)
    notice = MoveNotice(MOVE_VERSION, number, url, bytes(SIGNATURE_BYTES))
    transcript = move_transcript(credentials.name_id, notice)
    return MoveNotice(MOVE_VERSION, number, url, credentials.sign_as_group(transcript))


def move_is_right(credentials: Credentials, notice: MoveNotice) -> bool:
    """Whether the group has signed this, in a version that is understood here."""
    return notice.version == MOVE_VERSION and signature_is_right(
        credentials.group_public_key,
        move_transcript(credentials.name_id, notice),
        notice.signature,
    )
