"""Two sessions, without a link, a loop or a clock: the rules of the multiplexer."""

from __future__ import annotations

import random
from collections import defaultdict
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datachannel import flow, frames, session
from datachannel.errors import ProtocolError, Unavailable
from datachannel.events import (
    Closed,
    Event,
    Finished,
    Opened,
    PeerSilent,
    Received,
    Sendable,
    WasReset,
)
from datachannel.messages import (
    LIST_ITEMS_MAX,
    Continue,
    Deleted,
    Item,
    Listing,
    RootGet,
    SpaceQuery,
    Stored,
    encode_message,
)
from datachannel.session import Session

STORED = encode_message(Stored())


def two_sessions() -> tuple[Session, Session]:
    return Session(initiator=True, now=0.0), Session(initiator=False, now=0.0)


def events_of(one: Session) -> list[Event]:
    found = []
    while (event := one.next_event()) is not None:
        found.append(event)
    return found


def deliver(source: Session, target: Session, now: float = 0.0) -> list[bytes]:
    """All frames of `source` to `target`."""
    sent = []
    while batch := source.frames_to_send(now):
        for frame in batch:
            target.receive(frame, now)
        sent += batch
    return sent


def opened(one: Session, other: Session) -> int:
    """A stream that both know."""
    stream_id = one.open(RootGet())
    deliver(one, other)
    assert Opened(stream_id, RootGet()) in events_of(other)
    return stream_id


def send_until_blocked(one: Session, stream_id: int, size: int) -> int:
    count = 0
    while one.can_send(stream_id, size):
        one.send_data(stream_id, bytes(size))
        one.frames_to_send(0.0)
        count += 1
    return count


def test_a_request_and_its_answer_pass():
    one, other = two_sessions()
    stream_id = one.open(SpaceQuery())
    one.finish(stream_id)
    deliver(one, other)
    assert events_of(other) == [Opened(stream_id, SpaceQuery()), Finished(stream_id)]
    other.send_message(stream_id, STORED)
    other.send_data(stream_id, b"data")
    other.finish(stream_id)
    deliver(other, one)
    assert events_of(other) == [Closed(stream_id)]
    assert events_of(one) == [
        Received(stream_id, Stored(), len(STORED)),
        Received(stream_id, b"data", 4),
        Finished(stream_id),
        Closed(stream_id),
    ]


def test_the_initiator_has_the_odd_ids():
    one, other = two_sessions()
    assert [one.open(RootGet()) for _ in range(3)] == [1, 3, 5]
    assert [other.open(RootGet()) for _ in range(3)] == [2, 4, 6]


def test_streams_take_turns():
    one, other = two_sessions()
    first, second = opened(one, other), opened(one, other)
    for stream_id in (first, first, first, second, second):
        one.send_data(stream_id, b"x")
    sent = [int.from_bytes(frame[1:5], "big") for frame in one.frames_to_send(0.0)]
    assert sent == [first, second, first, second, first]


def test_control_frames_go_before_data():
    one, other = two_sessions()
    stream_id = opened(one, other)
    one.send_data(stream_id, b"x")
    one.reset(one.open(RootGet()), "busy")
    kinds = [frame[0] for frame in one.frames_to_send(0.0)]
    assert kinds == [frames.OPEN, frames.RESET, frames.DATA]


def test_a_batch_is_about_as_large_as_asked_for():
    one, other = two_sessions()
    stream_id = opened(one, other)
    for _ in range(4):
        one.send_data(stream_id, bytes(50_000))
    assert [len(one.frames_to_send(0.0, 60_000)) for _ in range(3)] == [2, 2, 0]


@pytest.mark.parametrize(
    ("size", "count"),
    [
        (1, flow.WINDOW_BYTES // flow.CHARGE_BYTES_MIN),
        (frames.DATA_BYTES_MAX, flow.WINDOW_BYTES // frames.DATA_BYTES_MAX),
    ],
)
def test_credit_bounds_bytes_and_frames(size: int, count: int):
    one, other = two_sessions()
    assert send_until_blocked(one, opened(one, other), size) == count


def test_credit_comes_back_as_the_application_consumes():
    one, other = two_sessions()
    stream_id = opened(one, other)
    count = send_until_blocked(one, stream_id, frames.DATA_BYTES_MAX)
    assert not one.can_send(stream_id, frames.DATA_BYTES_MAX)
    for _ in range(count):
        other.receive(frames.encode(frames.DATA, stream_id, bytes(frames.DATA_BYTES_MAX)), 0.0)
    assert not other.has_frames  # having received is not having consumed
    other.consumed(stream_id, frames.DATA_BYTES_MAX)
    assert not other.has_frames  # too little for a frame of its own
    for _ in range(4):
        other.consumed(stream_id, frames.DATA_BYTES_MAX)
    assert deliver(other, one) == [frames.encode_credit(stream_id, 5 * frames.DATA_BYTES_MAX)]
    assert events_of(one) == [Sendable(stream_id)]
    assert send_until_blocked(one, stream_id, frames.DATA_BYTES_MAX) == 5


def test_a_sender_is_told_when_its_queue_is_low_again():
    one, other = two_sessions()
    stream_id = opened(one, other)
    while one.can_send(stream_id, frames.DATA_BYTES_MAX):
        one.send_data(stream_id, bytes(frames.DATA_BYTES_MAX))
    assert events_of(one) == []
    one.frames_to_send(0.0)
    assert events_of(one) == [Sendable(stream_id)]


def test_a_reset_drops_what_is_queued():
    one, other = two_sessions()
    stream_id = opened(one, other)
    one.send_data(stream_id, b"x")
    one.reset(stream_id, "full")
    deliver(one, other)
    assert events_of(other) == [WasReset(stream_id, "full"), Closed(stream_id)]
    assert events_of(one) == [Closed(stream_id)]


def test_a_reset_after_the_end_lets_everything_pass_first():
    one, other = two_sessions()
    stream_id = opened(one, other)
    other.send_message(stream_id, STORED)
    other.finish(stream_id)
    other.reset(stream_id, "busy")
    one.send_data(stream_id, b"on its way")
    deliver(one, other)
    deliver(other, one)
    assert events_of(one) == [
        Received(stream_id, Stored(), len(STORED)),
        Finished(stream_id),
        WasReset(stream_id, "busy"),
        Closed(stream_id),
    ]
    assert events_of(other) == [Closed(stream_id)]


def test_what_is_under_way_when_a_stream_is_reset_is_ignored():
    one, other = two_sessions()
    stream_id = opened(one, other)
    one.send_data(stream_id, b"x")
    one.finish(stream_id)
    other.reset(stream_id, "busy")
    deliver(one, other)
    assert events_of(other) == [Closed(stream_id)]
    deliver(other, one)
    other.receive(frames.encode_credit(stream_id, 1), 0.0)
    other.receive(frames.encode_reset(stream_id, "busy"), 0.0)
    assert events_of(other) == []


def test_an_unknown_code_counts_as_internal():
    one, other = two_sessions()
    stream_id = opened(one, other)
    other.receive(frames.encode(frames.RESET, stream_id, b"\xffnew"), 0.0)
    assert events_of(other) == [WasReset(stream_id, "internal"), Closed(stream_id)]


def test_finishing_and_resetting_what_has_ended_does_nothing():
    one, other = two_sessions()
    stream_id = opened(one, other)
    one.finish(stream_id)
    one.finish(stream_id)
    other.finish(stream_id)
    deliver(one, other)
    deliver(other, one)
    one.finish(stream_id)
    one.reset(stream_id, "busy")
    one.consumed(stream_id, 1 << 20)
    assert not one.has_frames


def test_eight_streams_may_be_open_and_a_ninth_when_one_has_closed():
    one, other = two_sessions()
    ids = [one.open(RootGet()) for _ in range(session.STREAMS_MAX)]
    assert not one.can_open
    assert other.can_open  # each side has its own
    deliver(one, other)
    one.reset(ids[3], "busy")
    assert one.can_open
    one.open(RootGet())
    deliver(one, other)
    assert len([event for event in events_of(other) if isinstance(event, Opened)]) == 9


# The other side breaks the protocol

VIOLATIONS = {
    "empty": [b""],
    "short": [b"\x01\x00"],
    "an unknown type": [frames.encode(9, 2, b"x")],
    "type 0": [frames.encode(0, 2, b"x")],
    "a stream 0": [frames.encode(frames.DATA, 0, b"x")],
    "a PING on a stream": [frames.encode(frames.PING, 2, bytes(8))],
    "a short PING": [frames.encode(frames.PING, 0, bytes(7))],
    "data without any": [frames.encode(frames.DATA, 2)],
    "too much data": [frames.encode(frames.DATA, 2, bytes(frames.DATA_BYTES_MAX + 1))],
    "a FINISH with something": [frames.encode(frames.FINISH, 2, b"x")],
    "a long code": [frames.encode(frames.RESET, 2, b"x" * 17)],
    "no request": [frames.encode(frames.OPEN, 4, b"\xc1")],
    "an answer as a request": [frames.encode(frames.OPEN, 4, STORED)],
    "a request as an answer": [frames.encode(frames.MESSAGE, 2, encode_message(RootGet()))],
    "an id of ours": [frames.encode(frames.OPEN, 3, encode_message(RootGet()))],
    "an old id": [frames.encode(frames.OPEN, 2, encode_message(RootGet()))],
    "a stream that we never opened": [frames.encode(frames.DATA, 3, b"x")],
    "a stream that they never opened": [frames.encode(frames.DATA, 4, b"x")],
    "no credit": [frames.encode_credit(2, 0)],
    "credit that is not due": [frames.encode_credit(2, 1)],
    "data after the end": [frames.encode(frames.FINISH, 2), frames.encode(frames.DATA, 2, b"x")],
    "two ends": [frames.encode(frames.FINISH, 2), frames.encode(frames.FINISH, 2)],
    "data beyond credit": [frames.encode(frames.DATA, 2, bytes(60_000))] * 18,
    "frames beyond credit": [frames.encode(frames.MESSAGE, 2, STORED)] * 65,
    "a ninth stream": [
        frames.encode(frames.OPEN, 4 + 2 * number, encode_message(RootGet())) for number in range(8)
    ],
}


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_a_violation_is_an_error_at_its_last_frame(violation: str):
    one, other = two_sessions()
    one.open(RootGet())
    assert opened(other, one) == 2
    *before, last = VIOLATIONS[violation]
    for frame in before:
        one.receive(frame, 0.0)
    with pytest.raises(ProtocolError):
        one.receive(last, 0.0)


def test_only_a_listing_may_be_long():
    item = Item(bytes(32), 1 << 20)
    listing = Listing((item,) * LIST_ITEMS_MAX, more=False)
    one, other = two_sessions()
    stream_id = opened(one, other)
    data = encode_message(listing)
    assert len(data) > session.ANSWER_BYTES_MAX
    one.receive(frames.encode(frames.MESSAGE, stream_id, data), 0.0)
    assert events_of(one) == [Received(stream_id, listing, len(data))]


def test_an_asker_that_takes_no_frames_is_cut_off():
    _, other = two_sessions()
    request = encode_message(RootGet())

    def ask(number: int) -> None:
        other.receive(frames.encode(frames.OPEN, 2 * number + 1, request), 0.0)
        other.reset(2 * number + 1, "busy")
        events_of(other)

    for number in range(session.CONTROL_FRAMES_MAX + 1):
        ask(number)
    with pytest.raises(ProtocolError, match="takes no answers"):
        ask(session.CONTROL_FRAMES_MAX + 1)


def test_who_asks_a_friend_that_takes_nothing_is_told_so():
    one, _ = two_sessions()
    for _ in range(session.CONTROL_FRAMES_MAX // 2 + 1):
        one.reset(one.open(RootGet()), "cancelled")
        events_of(one)
    with pytest.raises(Unavailable):
        one.open(RootGet())
    one.frames_to_send(0.0)
    one.open(RootGet())


def test_many_pings_are_answered_once():
    one, _ = two_sessions()
    for number in range(1000):
        one.receive(frames.encode(frames.PING, 0, number.to_bytes(8, "big")), 0.0)
    assert one.frames_to_send(0.0) == [frames.encode(frames.PONG, 0, (999).to_bytes(8, "big"))]


# The line's speed


def send_at(one: Session, bytes_per_s: int, size: int) -> None:
    """Send so much on a line of that speed, which is empty at first."""
    now, stream_id = 0.0, one.open(RootGet())
    other = Session(initiator=False, now=0.0)
    while size > 0:
        if one.can_send(stream_id, one.data_bytes):
            one.send_data(stream_id, bytes(one.data_bytes))
            size -= one.data_bytes
        for frame in one.frames_to_send(now):
            other.receive(frame, now)
            now += len(frame) / bytes_per_s
        for event in events_of(other):
            if isinstance(event, Received):
                other.consumed(stream_id, event.size)
        deliver(other, one, now)


@pytest.mark.parametrize(
    ("bytes_per_s", "expected"),
    [
        (1_000, session.DATA_BYTES_SLOW),
        (100_000, session.DATA_BYTES_SLOW),
        (200_000, frames.DATA_BYTES_MAX),
        (50_000_000, frames.DATA_BYTES_MAX),
    ],
)
def test_frames_are_large_only_on_a_line_that_has_proved_fast(bytes_per_s: int, expected: int):
    one, _ = two_sessions()
    assert one.data_bytes == session.DATA_BYTES_SLOW
    send_at(one, bytes_per_s, session.SPEED_BYTES + 100_000)
    assert one.data_bytes == expected


def test_a_small_frame_passes_a_very_slow_line_before_the_link_counts_as_dead():
    assert session.DATA_BYTES_SLOW / 1_100 < session.SILENT_S_MAX


def test_a_line_that_has_become_slow_gets_small_frames_again():
    one, _ = two_sessions()
    send_at(one, 50_000_000, session.SPEED_BYTES + 100_000)
    stream_id = one.open(RootGet())
    sent = 0
    while sent < session.SPEED_BYTES:
        if not one.can_send(stream_id, frames.DATA_BYTES_MAX):
            one.receive(frames.encode_credit(stream_id, 15 * frames.DATA_BYTES_MAX), 1.0)
            continue
        one.send_data(stream_id, bytes(frames.DATA_BYTES_MAX))
        sent += sum(map(len, one.frames_to_send(1.0 + sent / 10_000)))
    assert one.data_bytes == session.DATA_BYTES_SLOW


# Heartbeats

PING_1 = frames.encode(frames.PING, 0, (1).to_bytes(8, "big"))


def test_after_five_seconds_of_silence_it_asks_whether_anybody_is_there():
    one, other = two_sessions()
    assert one.next_timeout() == 5.0
    one.handle_timeout(4.9)
    assert not one.has_frames
    one.handle_timeout(5.0)
    assert one.frames_to_send(5.25) == [PING_1]
    assert one.next_timeout() == 10.0
    other.receive(PING_1, 5.5)
    deliver(other, one, now=5.75)
    assert one.rtt_s == 0.5
    assert one.next_event() is None


def test_after_twenty_seconds_without_a_frame_the_other_side_is_gone():
    one, _ = two_sessions()
    times = []
    while (timeout := one.next_timeout()) is not None:
        times.append(timeout)
        one.handle_timeout(timeout)
        one.frames_to_send(timeout)
    assert times == [5.0, 10.0, 15.0, 20.0]
    assert events_of(one) == [PeerSilent()]
    one.handle_timeout(99.0)
    assert events_of(one) == []


def test_who_only_receives_says_that_it_is_there():
    # A sender with a slow line gets credit rarely, and must not take its receiver for dead.
    one, other = two_sessions()
    stream_id = opened(one, other)
    for second in range(1, 5):
        other.receive(frames.encode(frames.DATA, stream_id, b"x"), float(second))
    timeout = other.next_timeout()
    assert timeout == 5.0
    other.handle_timeout(timeout)
    assert other.frames_to_send(timeout) == [PING_1]


def test_a_forged_pong_is_no_measurement():
    one, _ = two_sessions()
    one.receive(frames.encode(frames.PONG, 0, bytes(8)), 1.0)
    one.handle_timeout(6.0)
    one.frames_to_send(6.0)
    one.receive(frames.encode(frames.PONG, 0, (7).to_bytes(8, "big")), 6.5)
    assert one.rtt_s is None


# Everything at once


class End:
    """One side of the property test: sends numbered data, and checks what it gets."""

    def __init__(self, session: Session, chance: random.Random) -> None:
        self.session, self.chance = session, chance
        self.wire: list[bytes] = []
        self.to_send: dict[int, list[bytes]] = {}
        self.sent: dict[int, list[bytes]] = defaultdict(list)
        self.got: dict[int, list[bytes]] = defaultdict(list)
        self.unread: list[Received] = []
        self.unread_charge: dict[int, int] = defaultdict(int)
        self.complete: set[int] = set()
        self.was_reset: set[int] = set()
        self.blocked: set[int] = set()

    def start(self, stream_id: int) -> None:
        sizes = [self.chance.choice((1, 3000, 30_000, 61_440)) for _ in range(40)]
        self.to_send[stream_id] = [self.chance.randbytes(4) * (size // 4 + 1) for size in sizes]

    def maybe_open(self) -> None:
        if self.session.can_open:
            self.start(self.session.open(RootGet()))

    def maybe_send(self) -> None:
        for stream_id, left in list(self.to_send.items()):
            if not self.session.is_open(stream_id) or stream_id in self.blocked:
                continue
            if not left:
                self.session.finish(stream_id)
                del self.to_send[stream_id]
            elif self.session.can_send(stream_id, len(left[0][:61_440])):
                data = left.pop(0)[:61_440]
                self.session.send_data(stream_id, data)
                self.sent[stream_id].append(data)
            else:
                self.blocked.add(stream_id)

    def maybe_reset(self) -> None:
        if self.to_send and self.chance.random() < 0.2:
            stream_id = self.chance.choice(sorted(self.to_send))
            self.was_reset.add(stream_id)
            self.session.reset(stream_id, "busy")
            del self.to_send[stream_id]

    def maybe_flush(self) -> None:
        self.wire += self.session.frames_to_send(0.0, self.chance.choice((1, 100_000, 1 << 20)))

    def take(self, other: End) -> None:
        for frame in other.wire[: self.chance.choice((1, 5, 100))]:
            self.session.receive(frame, 0.0)
            del other.wire[0]

    def handle(self) -> None:
        for event in events_of(self.session):
            if isinstance(event, Opened):
                self.start(event.stream_id)
            elif isinstance(event, Received):
                assert isinstance(event.item, bytes)
                self.got[event.stream_id].append(event.item)
                self.unread.append(event)
                self.unread_charge[event.stream_id] += flow.charge(event.size)
                assert self.unread_charge[event.stream_id] <= flow.WINDOW_BYTES
            elif isinstance(event, Finished):
                self.complete.add(event.stream_id)
            elif isinstance(event, WasReset):
                self.was_reset.add(event.stream_id)
                self.to_send.pop(event.stream_id, None)
            elif isinstance(event, Sendable):
                self.blocked.discard(event.stream_id)

    def step(self, other: End, *, with_resets: bool) -> None:
        steps = [self.maybe_open, self.maybe_send, self.maybe_flush]
        steps += [partial(self.take, other), partial(self.read, self.chance.randrange(1, 9))]
        steps += [self.maybe_reset] if with_resets else []
        self.chance.choice(steps)()

    def read(self, count: int) -> None:
        for event in self.unread[:count]:
            self.unread_charge[event.stream_id] -= flow.charge(event.size)
            self.session.consumed(event.stream_id, event.size)
        del self.unread[:count]


def assert_nothing_was_lost(source: End, target: End) -> None:
    gone = source.was_reset | target.was_reset
    for stream_id, data in source.sent.items():
        if stream_id in gone:
            assert data[: len(target.got[stream_id])] == target.got[stream_id]
        else:
            assert data == target.got[stream_id]
            assert stream_id in target.complete


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_data_arrives_in_order_and_once_and_nobody_waits_for_ever(seed: int, with_resets: bool):
    chance = random.Random(seed)
    ends = [End(one, chance) for one in two_sessions()]
    pairs = [(ends[0], ends[1]), (ends[1], ends[0])]
    for _ in range(chance.randrange(300)):
        me, other = chance.choice(pairs)
        me.step(other, with_resets=with_resets)
        me.handle()
    for _ in range(10_000):
        for me, other in pairs:
            me.maybe_send()
            me.maybe_flush()
            me.take(other)
            me.handle()
            me.read(100)
        if not any(end.to_send or end.wire or end.session.has_frames for end in ends):
            break
    else:
        raise AssertionError("they wait for each other")
    for source, target in pairs:
        assert_nothing_was_lost(source, target)


plausible_frames = st.builds(
    lambda kind, stream_id, payload: frames.encode(kind, stream_id, payload),
    st.integers(0, 9),
    st.one_of(st.integers(0, 24), st.integers(0, 2**32 - 1)),
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from(
            [
                b"",
                bytes(8),
                bytes(61_440),
                (1 << 18).to_bytes(4, "big"),
                STORED,
                encode_message(Continue(65_536)),
                encode_message(Deleted(1)),
                encode_message(RootGet()),
                encode_message(SpaceQuery()),
            ]
        ),
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(plausible_frames, st.binary(max_size=40)), max_size=200), st.booleans())
def test_arbitrary_frames_raise_nothing_else_and_leave_little_behind(
    arbitrary: list[bytes], initiator: bool
):
    one = Session(initiator=initiator, now=0.0)
    for _ in range(session.STREAMS_MAX):
        one.open(RootGet())
    one.frames_to_send(0.0)
    unread: dict[int, int] = defaultdict(int)
    streams = set()
    for frame in arbitrary:
        try:
            one.receive(frame, 0.0)
        except ProtocolError:
            break
        for event in events_of(one):
            if isinstance(event, Received):
                unread[event.stream_id] += event.size
            elif isinstance(event, Opened):
                streams.add(event.stream_id)
            elif isinstance(event, Closed):
                unread.pop(event.stream_id, None)
                streams.discard(event.stream_id)
        assert max(unread.values(), default=0) <= flow.WINDOW_BYTES
        assert len(streams) <= session.STREAMS_MAX
    assert sum(map(len, one.frames_to_send(0.0))) < 1000
