"""Whether libdatachannel works on this computer: tried in a process of its own.

A package of compiled code may fail in ways that no `except` catches; some builds of it have crashed
the interpreter at the first connection. So before the engine is loaded at all, a child process
(`python -m datachannel.libdatachannel_trial`) connects two ends over this computer's own addresses,
sends frames both ways and ends in order. What happens to the child decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import sys
from typing import Final

PACKAGE_VERSION: Final = "2026.10.15"
"""Of aiolibdatachannel. Our engine uses a part of it that other versions may change."""
TRIAL_S_MAX: Final = 15.0
"""It takes about a second, more on a computer that is busy starting up."""
FRAMES: Final = 20
FRAME: Final = bytes(range(256)) * 200
_MODULE: Final = "datachannel.libdatachannel_trial"

_log = logging.getLogger("covey.datachannel")


def installed_version() -> str | None:
    """The version of the package, None when it is not installed."""
    try:
        return importlib.metadata.version("aiolibdatachannel")
    except importlib.metadata.PackageNotFoundError:
        return None


async def works(version: str | None, *, command: tuple[str, ...] | None = None) -> bool:
    """Whether the engine can be used, with that version of the package. Says why not in the log."""
    if version is None:
        return False  # it is an extra: nothing to complain about
    if version != PACKAGE_VERSION:
        _log.warning(
            "aiolibdatachannel %s is installed, and our engine is for %s: links are slower",
            version,
            PACKAGE_VERSION,
        )
        return False
    child = await asyncio.create_subprocess_exec(
        *(command or (sys.executable, "-m", _MODULE)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(TRIAL_S_MAX):
            code = await child.wait()
    except TimeoutError:
        code = None
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    if code != 0:
        fate = "took too long" if code is None else f"ended with {code}"
        _log.warning("libdatachannel does not work here (its trial %s): links are slower", fate)
    return code == 0


async def try_out() -> None:
    """Connect two ends in this process and talk. Raises, hangs or crashes when it does not work."""
    from datachannel.libdatachannel import LibdatachannelEngine
    from signaling.messages import MemberId

    engine = LibdatachannelEngine()
    one = engine.attempt(MemberId(b"2" * 32), offerer=True, ice_servers=())
    other = engine.attempt(MemberId(b"1" * 32), offerer=False, ice_servers=())
    offer = await one.local_description()
    if offer.candidates:  # a computer without a network can try no further
        answer = await other.local_description(offer)
        ends = await asyncio.gather(one.connect(answer), other.connect(offer))
        for near, far in (ends, ends[::-1]):
            for _ in range(FRAMES):
                near.send(FRAME)
            for _ in range(FRAMES):
                if await far.receive() != FRAME:
                    raise RuntimeError("a frame arrived as another")
    await one.close()
    await other.close()


if __name__ == "__main__":
    asyncio.run(try_out())
