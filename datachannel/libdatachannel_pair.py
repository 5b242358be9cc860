"""Whether a connection of libdatachannel goes through a relay.

The Python binding does not tell which pair of addresses ICE has settled on. The C library within
it does, by a function of its public interface, and on Linux the wheel leaves its name to be seen;
it is called by ctypes. Where the name is not to be seen, the answer is that it is not known.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Collection

from aiolibdatachannel import _native  # type: ignore[attr-defined]  # compiled, without types

from datachannel.signals import Candidate

_LINE_BYTES_MAX = 512
"""A candidate's line: an address, a few numbers, and no names."""

_Ask = Callable[..., int]


def is_relayed(handle: int, remote: Collection[Candidate]) -> bool | None:
    """Whether the connection with this number goes through a TURN server; None when unknown.

    `remote` are the addresses that the other end told: a packet that comes from its relay before
    they are known makes a candidate of the kind `prflx`, which does not say what it is.
    """
    ask = _function()
    if ask is None:
        return None
    lines = [ctypes.create_string_buffer(_LINE_BYTES_MAX) for _ in range(2)]
    if ask(handle, lines[0], _LINE_BYTES_MAX, lines[1], _LINE_BYTES_MAX) < 0:
        return None
    relays = {(one.address, str(one.port)) for one in remote if one.kind == "relay"}
    return any(_is_relay(line.value.decode("ascii", "replace"), relays) for line in lines)


def _is_relay(line: str, relays: Collection[tuple[str, str]]) -> bool:
    """`a=candidate:1 1 UDP 16 192.0.2.1 4711 typ relay raddr ...`"""
    match line.split():
        case [_, _, _, _, address, port, "typ", kind, *_]:
            return kind == "relay" or (address, port) in relays
        case _:
            return False


@functools.cache
def _function() -> _Ask | None:
    try:
        function = ctypes.CDLL(_native.__file__).rtcGetSelectedCandidatePair
    except (OSError, AttributeError, TypeError):
        return None
    text = ctypes.c_char_p
    function.argtypes = (ctypes.c_int, text, ctypes.c_int, text, ctypes.c_int)
    function.restype = ctypes.c_int
    return function
