"""Whether this network is paid by the byte, as NetworkManager tells over the system's D-Bus.

NetworkManager judges the connection that is in use, knows what the person set and guesses the rest
(a telephone that lends its network). Windows and macOS are not asked: there it is never so.
"""

from __future__ import annotations

import asyncio
import logging
import sys

log = logging.getLogger("covey.night")

ANSWER_S = 3.0
_NAME, _PATH = "org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager"
_YES, _GUESSED_YES = 1, 3  # NMMetered


def is_metered() -> bool:
    """For a thread that has no event loop. False where nobody can tell."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        return asyncio.run(_ask())
    except Exception as error:  # whatever a bus may come up with
        log.debug("nobody tells whether this network is paid by the byte: %s", error)
        return False


async def _ask() -> bool:
    from dbus_fast import BusType, Message, MessageFlag
    from dbus_fast.aio import MessageBus

    question = Message(
        destination=_NAME,
        path=_PATH,
        interface="org.freedesktop.DBus.Properties",
        member="Get",
        signature="ss",
        body=[_NAME, "Metered"],
        flags=MessageFlag.NO_AUTOSTART,
    )
    bus = MessageBus(bus_type=BusType.SYSTEM)
    async with asyncio.timeout(ANSWER_S):
        try:
            await bus.connect()
            answer = await bus.call(question)
        finally:
            bus.disconnect()
    return answer is not None and bool(answer.body) and _says_yes(answer.body[0])


def _says_yes(told: object) -> bool:
    return getattr(told, "value", None) in (_YES, _GUESSED_YES)
