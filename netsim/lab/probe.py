"""Finds out what a NAT does, from the home behind it, as RFC 5780 would: the lab checks itself.

    python -m netsim.lab.probe serve ADDRESS ADDRESS STRANGER     in the public segment
    python -m netsim.lab.probe classify ADDRESS ADDRESS           at home: EIM/APDF, say, or blocked

Mapping: the public port as three destinations see it. Filtering: which of three senders get
through to a socket that has sent to one of them.
"""

from __future__ import annotations

import select
import socket
import sys

PORTS = (3478, 3479)
OTHER_PORT = 3480
"""Of a known address: nobody sends there, so that what comes from it tells ADF from APDF."""
ANSWER_S = 0.5
WHO, KNOCK = b"who am I?", b"knock, all of you"
FROM_KNOWN, FROM_STRANGER = b"a known address", b"a stranger"


def serve(one: str, two: str, stranger: str) -> None:
    """Tell who asks how it is seen, and knock from other places, until the process ends."""
    listening = [_bound(address, port) for address in (one, two) for port in PORTS]
    known, unknown = _bound(one, OTHER_PORT), _bound(stranger, OTHER_PORT)
    print("ready", flush=True)
    while True:
        for sock in select.select(listening, (), ())[0]:
            data, sender = sock.recvfrom(100)
            if data == WHO:
                sock.sendto(f"{sender[0]} {sender[1]}".encode(), sender)
            elif data == KNOCK:
                known.sendto(FROM_KNOWN, sender)
                unknown.sendto(FROM_STRANGER, sender)


def classify(one: str, two: str) -> str:
    """`blocked`, or mapping and filtering: EIM/EIF, EIM/ADF, EIM/APDF or EDM/APDF."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(ANSWER_S)
        seen: set[bytes] = set()
        try:
            for place in ((one, PORTS[0]), (one, PORTS[1]), (two, PORTS[0])):
                sock.sendto(WHO, place)
                seen.add(sock.recv(100))
        except OSError:
            return "blocked"
        sock.sendto(KNOCK, (one, PORTS[0]))
        heard: set[bytes] = set()
        try:
            while len(heard) < 2:
                heard.add(sock.recv(100))
        except OSError:
            pass
    filtering = "EIF" if FROM_STRANGER in heard else "ADF" if FROM_KNOWN in heard else "APDF"
    return f"{'EIM' if len(seen) == 1 else 'EDM'}/{filtering}"


def _bound(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))
    return sock


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(*sys.argv[2:])
    else:
        print(classify(*sys.argv[2:]))
