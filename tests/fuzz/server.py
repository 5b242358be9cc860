"""`make fuzz`: whatever clients, servers and Redis send, nothing but its own error comes of it.

Coverage-guided, by atheris; each case is one of

    a frame for the server, one for a client, a message of another instance
    a story: clients connect, join, say frames and go, other instances say things, at one server

and all that is answered must be a message that a client can read, for a connection that is there.
The tests play the same with hypothesis (tests/signaling); this goes on for as long as it is told:
`python -m tests.fuzz.server FOLDER -runs=1000000`. What was found interesting stays in the folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["signaling"]):
    from signaling.config import Limits
    from signaling.messages import (
        SERVER_MESSAGE_BYTES_MAX,
        VERSION,
        Absent,
        Arrived,
        Challenge,
        Departed,
        Failed,
        FromClient,
        FromServer,
        IceServer,
        IceServers,
        Join,
        Joined,
        Leave,
        MemberId,
        MessageError,
        Move,
        Moved,
        MoveNotice,
        Presence,
        Removed,
        RenewIce,
        Report,
        Signal,
        UpdateCard,
        decode_from_client,
        decode_from_server,
        encode,
        member_id_of,
    )
    from signaling.presence import Outgoing
    from signaling.rooms import Rooms
    from signaling.stores import scripts

from tests.support.registry import Registry

STEPS_MAX = 12
SESSION = "0123456789abcdef"
LIMITS = Limits(
    messages_per_connection=(5.0, 30),
    new_members_per_address=(1.0, 20),
    wrong_passwords_per_address=(0.1, 3),
)


def one_input(data: bytes) -> None:
    """One case. Any exception that leaves it is a find."""
    provider = atheris.FuzzedDataProvider(data)
    match provider.ConsumeIntInRange(0, 7):
        case 0 | 1 | 2 | 3:
            frame(provider.ConsumeBytes(4096))
        case 4:
            picture(provider.ConsumeBytes(4096))
        case _:
            Story(provider).play()


def frame(data: bytes) -> None:
    """What a client or a server said: a message that is the same when it is said again, or none."""
    for decode in (decode_from_client, decode_from_server):
        try:
            message = decode(data)
        except MessageError:
            continue
        assert decode(encode(message)) == message


def picture(data: bytes) -> None:
    """What came from Redis."""
    for kind in (data, b"p" + bytes(64) + data):
        try:
            scripts.parse(kind, SESSION)
        except scripts.Garbled:
            continue


class Story:
    """One server, a few clients, and another instance."""

    def __init__(self, provider: atheris.FuzzedDataProvider) -> None:
        self.provider = provider
        self.rooms = Rooms(
            lambda key, message, signature: signature != bytes(64), limits=LIMITS, is_shared=True
        )
        self.registry = Registry()
        self.registry.has_refused = True  # what other instances say does not reach it
        self.connected: set[int] = set()
        self.now = 0.0

    def play(self) -> None:
        """Until the bytes are used up."""
        for number in range(STEPS_MAX):
            if not self.provider.remaining_bytes():
                break
            self.now += self.provider.ConsumeIntInRange(0, 20) / 4
            self.step(number)
            for notice in self.rooms.take_notices():
                try:
                    self.registry.tell(notice)
                except (KeyError, AssertionError):
                    self.registry.by_name.pop(notice.name_id, None)

    def step(self, number: int) -> None:
        """Somebody does something."""
        provider, rooms = self.provider, self.rooms
        joined = [one for one in sorted(self.connected) if rooms.is_joined(one)]
        match provider.ConsumeIntInRange(0, 3):
            case 0:
                self.connected.add(number)
                join = self.a_join()
                found = self.registry.find_now(join.name_id)
                self.check(
                    rooms.join(
                        number,
                        join,
                        found,
                        server_names=("covey.example",),
                        nonce=bytes(32),
                        address=f"192.0.2.{provider.ConsumeIntInRange(0, 3)}",
                        now=self.now,
                    )
                )
            case 1 if joined:
                connection = provider.PickValueInList(joined)
                message = self.a_message()
                if message is not None:
                    self.check(rooms.handle(connection, message, now=self.now))
            case 2 if self.connected:
                connection = provider.PickValueInList(sorted(self.connected))
                self.connected.discard(connection)
                self.check(rooms.disconnected(connection))
            case _:
                kind = provider.PickValueInList(list(b"exlshpc"))
                said = bytes([kind]) + self.a_name() + self.a_member() + self.a_rest()
                try:
                    heard = scripts.parse(said, SESSION)
                except scripts.Garbled:
                    return
                if heard is not None:
                    self.check(rooms.heard(heard))

    def check(self, out: Outgoing) -> None:
        """All that is to be sent can be, and is understood."""
        for connection, message in out:
            assert connection in self.connected
            data = encode(message)
            assert len(data) <= SERVER_MESSAGE_BYTES_MAX
            assert decode_from_server(data) == message
            if isinstance(message, Failed):
                self.connected.discard(connection)
                self.rooms.disconnected(connection)

    def a_name(self) -> bytes:
        return bytes([self.provider.ConsumeIntInRange(0, 1)]) * 32

    def a_member(self) -> MemberId:
        return member_id_of(bytes([self.provider.ConsumeIntInRange(0, 4)]) * 32)

    def a_rest(self) -> bytes:
        card = self.provider.ConsumeBytes(8)
        return self.provider.PickValueInList(
            [SESSION.encode() + b"j" + card, SESSION.encode(), self.a_member() + card, b"j" + card]
        )

    def a_join(self) -> Join:
        provider = self.provider
        return Join(
            version=VERSION if provider.ConsumeBool() else provider.ConsumeInt(4),
            name_id=self.a_name(),
            group_key=bytes([provider.ConsumeIntInRange(0, 1)]) * 32,
            identity_key=bytes([provider.ConsumeIntInRange(0, 4)]) * 32,
            create=provider.ConsumeBool(),
            card=provider.ConsumeBytes(8),
            group_signature=bytes([provider.ConsumeIntInRange(0, 9)]) * 64,
            identity_signature=b"x" * 64,
        )

    def a_message(self) -> FromClient | None:
        """One of each kind, or whatever the bytes mean."""
        provider = self.provider
        match provider.ConsumeIntInRange(0, 7):
            case 0:
                return UpdateCard(provider.ConsumeBytes(8))
            case 1:
                return Leave()
            case 2:
                return Report("relay")
            case 3:
                return RenewIce()
            case 4:
                return self.a_join()
            case 5:
                return Signal(self.a_member(), provider.ConsumeBytes(8))
            case 6:
                signature = bytes([provider.ConsumeIntInRange(0, 9)]) * 64
                return Move(MoveNotice(1, provider.ConsumeIntInRange(1, 9), "lan", signature))
        try:
            return decode_from_client(provider.ConsumeBytes(64))
        except MessageError:
            return None


def seeds() -> list[bytes]:
    """One message of each kind, as frames: bytes are taken from the front, numbers from the end."""
    member, join = member_id_of(b"x" * 32), Story(atheris.FuzzedDataProvider(b"")).a_join()
    messages: list[FromClient | FromServer] = [
        join,
        Signal(member, b"blob"),
        UpdateCard(b"card"),
        Leave(),
        RenewIce(),
    ]
    notice = MoveNotice(1, 7, "https://new.example", b"x" * 64)
    messages += [Move(notice), Moved(notice), IceServers((IceServer(("turn:x",)),), 60.0)]
    messages += [Report("relay"), Failed("internal", "why", 1.0), Absent(member), Removed(member)]
    messages += [Challenge(VERSION, "covey.example", bytes(32)), Arrived(member, b"card")]
    messages += [Joined((Presence(member, b"card", True),), (), True), Departed(member)]
    return [encode(message) + b"\0" for message in messages] + [bytes(range(256)) * 2]


def main() -> None:
    """Fuzz with libFuzzer's own options."""
    for folder in (Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")):
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds()):
            (folder / f"seed {number}").write_bytes(seed)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
