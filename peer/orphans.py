"""A process of byte work must not outlive its agent.

It notices the end of its pipe, unless it is stopped because a person works at the computer: then it
would lie there until the computer is switched off, maybe with the catalog locked. Linux can kill it
when its parent dies. Elsewhere nobody can, and an agent that was killed at such a moment leaves it.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """From now on this process is killed when the thread that started it is gone."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
