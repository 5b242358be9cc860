"""A real coturn with deploy/coturn.conf, and a client that says exactly what a test wants.

The client is not aioice's: that one asks for IPv4 relays only, and for no forbidden things.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.raw_client import free_port

START = Path(__file__).parents[2] / "deploy" / "coturn-start"
DOMAIN = "covey.test"
START_S = 15.0
ANSWER_S = 5.0
COOKIE = 0x2112A442
ALLOCATE, REFRESH, CREATE_PERMISSION, CHANNEL_BIND = 0x003, 0x004, 0x008, 0x009
USERNAME, INTEGRITY, ERROR_CODE, REALM_, NONCE = 0x006, 0x008, 0x009, 0x014, 0x015
CHANNEL_NUMBER, LIFETIME, XOR_PEER, XOR_RELAYED = 0x00C, 0x00D, 0x012, 0x016
FAMILY, TRANSPORT = 0x017, 0x019
UDP, TCP = 17, 6


@dataclass(frozen=True)
class TurnServer:
    """A coturn that runs."""

    port: int
    secret: str
    secret_file: Path
    log: Path

    @property
    def url(self) -> str:
        return f"turn:127.0.0.1:{self.port}?transport=udp"


@contextmanager
def turn_server(folder: Path, *options: str, old_secret: str = "") -> Iterator[TurnServer]:
    """coturn on loopback while the context lasts; `options` are added to those of the project."""
    folder.mkdir(parents=True, exist_ok=True)
    secret_file = folder / "secret"
    server = TurnServer(free_port(), os.urandom(24).hex(), secret_file, folder / "coturn.log")
    secret_file.write_text(f"{server.secret}\n{old_secret}\n")
    with server.log.open("wb") as log:
        process = subprocess.Popen(
            [START, f"--listening-port={server.port}", "--relay-ip=::1", *options],
            env=os.environ
            | {
                "RUNTIME_DIRECTORY": str(folder),
                "TURN_SECRET_FILE": str(secret_file),
                "COVEY_DOMAIN": DOMAIN,
                "TURN_IP": "127.0.0.1",
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_until_it_answers(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(START_S)


def _wait_until_it_answers(server: TurnServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with closing(TurnClient(server.port, "nobody", "", timeout_s=0.2)) as client:
            try:
                client.allocate()
                return
            except OSError:
                time.sleep(0.05)
    raise RuntimeError(f"coturn does not start: {server.log.read_text()}")


class TurnClient:
    """One UDP socket to a TURN server, with credentials. Each request answers its error, or 0."""

    def __init__(
        self, port: int, username: str, password: str, *, timeout_s: float = ANSWER_S
    ) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(timeout_s)
        self._socket.connect(("127.0.0.1", port))
        self._username, self._password = username.encode(), password.encode()
        self._realm = self._nonce = b""
        self.relayed: tuple[str, int] | None = None

    def allocate(self, *, ipv6: bool = False, transport: int = UDP) -> int:
        """Ask for a relay. The first answer is always 401, with what the second must know."""
        wishes = [(TRANSPORT, bytes([transport, 0, 0, 0])), (FAMILY, bytes([1 + ipv6, 0, 0, 0]))]
        code, _ = self._ask(ALLOCATE, wishes)
        if code == 401:
            code, answer = self._ask(ALLOCATE, wishes)
            if not code:
                self.relayed = _address(answer[XOR_RELAYED], self._last)
        return code

    def permit(self, peer: str) -> int:
        """Ask that this address may send, and be sent to."""
        return self._ask(CREATE_PERMISSION, [(XOR_PEER, self._xor(peer, 0))])[0]

    def bind(self, peer: str, port: int = 9) -> int:
        """Ask for a channel to this address."""
        number = struct.pack("!HH", 0x4000, 0)
        return self._ask(
            CHANNEL_BIND, [(CHANNEL_NUMBER, number), (XOR_PEER, self._xor(peer, port))]
        )[0]

    def close(self) -> None:
        self._socket.close()

    def _xor(self, address: str, port: int) -> bytes:
        ip = ipaddress.ip_address(address)
        self._next = os.urandom(12)
        mask = struct.pack("!I", COOKIE) + self._next
        packed = bytes(a ^ b for a, b in zip(ip.packed, mask, strict=False))
        return struct.pack("!BBH", 0, 1 if ip.version == 4 else 2, port ^ COOKIE >> 16) + packed

    def _ask(self, method: int, wishes: list[tuple[int, bytes]]) -> tuple[int, dict[int, bytes]]:
        transaction, self._next = getattr(self, "_next", b"") or os.urandom(12), b""
        self._last = transaction
        attributes = list(wishes)
        if self._nonce:
            attributes += [
                (USERNAME, self._username),
                (REALM_, self._realm),
                (NONCE, self._nonce),
            ]
        body = b"".join(_padded(kind, value) for kind, value in attributes)
        if self._nonce:
            text = b":".join((self._username, self._realm, self._password))
            key = hashlib.md5(text).digest()
            head = struct.pack("!HHI", method, len(body) + 24, COOKIE) + transaction
            body += _padded(INTEGRITY, hmac.digest(key, head + body, hashlib.sha1))
        self._socket.send(struct.pack("!HHI", method, len(body), COOKIE) + transaction + body)
        answer = self._answer(transaction)
        self._realm = answer.get(REALM_, self._realm)
        self._nonce = answer.get(NONCE, self._nonce)
        error = answer.get(ERROR_CODE)
        return (0 if error is None else error[2] * 100 + error[3]), answer

    def _answer(self, transaction: bytes) -> dict[int, bytes]:
        while True:
            data = self._socket.recv(2000)
            if len(data) >= 20 and data[8:20] == transaction:
                break
        found, at = {}, 20
        while at + 4 <= len(data):
            kind, size = struct.unpack_from("!HH", data, at)
            found.setdefault(kind, data[at + 4 : at + 4 + size])
            at += 4 + (size + 3) // 4 * 4
        return found


def _padded(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def _address(value: bytes, transaction: bytes) -> tuple[str, int]:
    mask = struct.pack("!I", COOKIE) + transaction
    (port,) = struct.unpack_from("!H", value, 2)
    packed = bytes(a ^ b for a, b in zip(value[4:], mask, strict=False))
    return str(ipaddress.ip_address(packed)), port ^ COOKIE >> 16
