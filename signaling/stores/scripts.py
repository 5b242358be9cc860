"""What is done in Redis in one step each, and how it looks there and on its channels.

| key | what |
|---|---|
| `covey:group:NAME` | hash: `key` is the group's public key, `moved` its move, others are cards |
| `covey:online:NAME` | hash: a member who is connected, and the session that it is connected to |
| `covey:groups` | how many groups there are |
| `covey:sessions` | sorted set: each session, and when its lease ends, in ms of Redis's clock |
| `covey:at:SESSION` | set: the groups that have members at this session |
| `covey:to:SESSION` | channel: what this session is to hear |

NAME and members are 32 raw bytes. A session is one unbroken stay of an instance at Redis; when it
ends in whatever way, its lease runs out, and any other one takes its members offline (`REAP`).

A message on a channel is a letter, the group's name, a member, and the rest, as `parse` reads it.
Since a step tells everybody while nothing else happens, a session hears all steps in their order,
and its own among them: what it hears of a member after its own step is newer than that.
"""

from __future__ import annotations

from signaling.messages import (
    CARD_BYTES_MAX,
    ID_BYTES,
    KEY_BYTES,
    MEMBERS_MAX,
    SIGNAL_BYTES_MAX,
    MemberId,
    MessageError,
    MoveNotice,
    decode_move,
    encode_move,
)
from signaling.notices import (
    Conflict,
    Entered,
    EnteredElsewhere,
    Exited,
    ExitedElsewhere,
    Group,
    Heard,
    How,
    Left,
    LeftElsewhere,
    MovedElsewhere,
    Moving,
    Notice,
    Passed,
    PassedHere,
    Picture,
    Settled,
)

MOVE_DIGITS = 16
SESSION_BYTES = 16
"""Of a session's id, as text: random, in hexadecimal."""

PRELUDE = """
local function group_of(name) return 'covey:group:' .. name end
local function online_of(name) return 'covey:online:' .. name end
local function tell(name, me, message)
  local told = {}
  for _, session in ipairs(redis.call('HVALS', online_of(name))) do
    if session ~= me and not told[session] then
      told[session] = true
      redis.call('PUBLISH', 'covey:to:' .. session, message)
    end
  end
end
local function picture(name)
  local members = redis.call('HGETALL', group_of(name))
  local out = { struct.pack('>I4', #members) }
  for _, one in ipairs(members) do out[#out + 1] = struct.pack('>I4', #one) .. one end
  for _, one in ipairs(redis.call('HGETALL', online_of(name))) do
    out[#out + 1] = struct.pack('>I4', #one) .. one
  end
  return table.concat(out)
end
local function depart(me, name)
  for _, session in ipairs(redis.call('HVALS', online_of(name))) do
    if session == me then return end
  end
  redis.call('SREM', 'covey:at:' .. me, name)
end
"""

FIND = PRELUDE + "return { picture(ARGV[1]), redis.call('GET', 'covey:groups') or '0' }"

ENTER = (
    PRELUDE
    + f"""
local me, name, key, member, card, how = unpack(ARGV)
local held = redis.call('HGET', group_of(name), 'key')
local others = 1 + redis.call('HEXISTS', group_of(name), 'moved')
local is_full = redis.call('HLEN', group_of(name)) - others >= {MEMBERS_MAX}
if held and (held ~= key or
    (is_full and redis.call('HEXISTS', group_of(name), member) == 0)) then
  redis.call('PUBLISH', 'covey:to:' .. me, 'c' .. name .. member)
  return 0
end
local before = redis.call('HGET', online_of(name), member)
if how == 'c' and before ~= me then return 0 end
if not held then
  redis.call('HSET', group_of(name), 'key', key)
  redis.call('INCR', 'covey:groups')
end
redis.call('HSET', group_of(name), member, card)
tell(name, me, 'e' .. name .. member .. me .. how .. card)
redis.call('HSET', online_of(name), member, me)
local is_first = redis.call('SADD', 'covey:at:' .. me, name)
if before and before ~= me then depart(before, name) end
if how == 'j' and is_first == 1 then
  redis.call('PUBLISH', 'covey:to:' .. me, 'p' .. name .. member .. picture(name))
else
  redis.call('PUBLISH', 'covey:to:' .. me, 'h' .. name .. member .. how .. card)
end
return 1
"""
)

LOOK = (
    PRELUDE
    + """
local me, name = unpack(ARGV)
return redis.call('PUBLISH', 'covey:to:' .. me, 'p' .. name .. name .. picture(name))
"""
)
"""Asks for a picture after members were told of again."""

EXIT = (
    PRELUDE
    + """
local me, name, member = unpack(ARGV)
if redis.call('HGET', online_of(name), member) ~= me then return 0 end
redis.call('HDEL', online_of(name), member)
tell(name, me, 'x' .. name .. member .. me)
depart(me, name)
return 1
"""
)

LEAVE = (
    PRELUDE
    + """
local me, name, member = unpack(ARGV)
local at = redis.call('HGET', online_of(name), member)
if at and at ~= me then return 0 end
redis.call('HDEL', online_of(name), member)
if redis.call('HDEL', group_of(name), member) == 0 then return 0 end
tell(name, me, 'l' .. name .. member)
redis.call('PUBLISH', 'covey:to:' .. me, 'l' .. name .. member)
if redis.call('HLEN', group_of(name)) - redis.call('HEXISTS', group_of(name), 'moved') == 1 then
  redis.call('DEL', group_of(name))
  redis.call('DECR', 'covey:groups')
end
depart(me, name)
return 1
"""
)

MOVE = (
    PRELUDE
    + """
local me, name, number, notice = unpack(ARGV)
local held = redis.call('HGET', group_of(name), 'moved')
if redis.call('EXISTS', group_of(name)) == 0 then return 0 end
if held and tonumber(held:sub(1, 16), 16) >= tonumber(number, 16) then return 0 end
redis.call('HSET', group_of(name), 'moved', number .. notice)
tell(name, me, 'm' .. name .. name .. notice)
return 1
"""
)
"""Where a group has gone is kept after its number, 16 hexadecimal digits: the highest counts."""

RESTORE = (
    PRELUDE
    + """
local name = ARGV[1]
if redis.call('EXISTS', group_of(name)) == 1 then return 0 end
redis.call('HSET', group_of(name), unpack(ARGV, 2))
redis.call('INCR', 'covey:groups')
return 1
"""
)
"""A group that Redis has lost and an instance remembers: ARGV goes on as field, value, ..."""

LEASE = """
local me, lease_ms = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('ZSCORE', 'covey:sessions', me)
redis.call('ZADD', 'covey:sessions', now + lease_ms, me)
redis.call('PUBLISH', 'covey:to:' .. me, '')
return { held and 1 or 0, redis.call('ZRANGEBYSCORE', 'covey:sessions', '-inf', now) }
"""
"""Answers whether the lease was held until now, and the sessions whose lease has run out."""

REAP = (
    PRELUDE
    + """
local gone, groups_max = ARGV[1], tonumber(ARGV[2])
local names = redis.call('SPOP', 'covey:at:' .. gone, groups_max)
for _, name in ipairs(names) do
  local online = redis.call('HGETALL', online_of(name))
  for i = 1, #online, 2 do
    if online[i + 1] == gone then redis.call('HDEL', online_of(name), online[i]) end
  end
  for i = 1, #online, 2 do
    if online[i + 1] == gone then tell(name, gone, 'x' .. name .. online[i] .. gone) end
  end
end
if #names == 0 then redis.call('ZREM', 'covey:sessions', gone) end
return #names
"""
)
"""Take the members of an ended session offline, some groups at a time; 0 when none are left."""


SCRIPTS = {
    "find": FIND,
    "enter": ENTER,
    "exit": EXIT,
    "leave": LEAVE,
    "look": LOOK,
    "move": MOVE,
    "restore": RESTORE,
    "lease": LEASE,
    "reap": REAP,
}


class Garbled(ValueError):
    """Not what these scripts write."""


def parse(data: bytes, me: str) -> Heard | None:
    """A message on the channel of session `me`; None for the empty one by which it hears itself.

    Raises Garbled.
    """
    if not data:
        return None
    kind, name, member = (
        data[:1],
        data[1 : 1 + ID_BYTES],
        _id(data[1 + ID_BYTES : 1 + 2 * ID_BYTES]),
    )
    rest = data[1 + 2 * ID_BYTES :]
    match kind:
        case b"e":
            session, how, card = (
                _session(rest[:SESSION_BYTES]),
                rest[SESSION_BYTES : SESSION_BYTES + 1],
                rest[SESSION_BYTES + 1 :],
            )
            return EnteredElsewhere(name, member, _card(card), session, _how(how))
        case b"x":
            return ExitedElsewhere(name, member, _session(rest))
        case b"l":
            return LeftElsewhere(name, member)
        case b"s":
            if len(rest) > ID_BYTES + SIGNAL_BYTES_MAX:
                raise Garbled("a signal that is too long")
            return PassedHere(name, member, _id(rest[:ID_BYTES]), rest[ID_BYTES:])
        case b"p":
            group, online = parse_picture(name, rest)
            if group is None:
                raise Garbled("a picture of nothing")
            here = frozenset(one for one, session in online.items() if session == me)
            elsewhere = {one: session for one, session in online.items() if session != me}
            entered = None if member == name else member
            return Picture(name, entered, group.members, elsewhere, here, group.moved)
        case b"m":
            return MovedElsewhere(name, _notice(rest))
        case b"h":
            return Settled(name, member, _card(rest[1:]), _how(rest[:1]))
        case b"c":
            return Conflict(name, member)
    raise Garbled("no message")


def call_of(notice: Notice) -> tuple[str, tuple[bytes | str, ...]]:
    """(the script for a notice, its arguments after the session); "" is to publish them."""
    match notice:
        case Entered(name_id, group_key, member, card, how):
            return "enter", (name_id, group_key, member, card, HOWS[how])
        case Exited(name_id, member):
            return "exit", (name_id, member)
        case Left(name_id, member):
            return "leave", (name_id, member)
        case Moving(name_id, move):
            return "move", (name_id, *_numbered(move))
        case Passed(name_id, sender, to, instance, blob):
            return "", (f"covey:to:{instance}", b"s" + name_id + sender + to + blob)


def parse_picture(name_id: bytes, data: bytes) -> tuple[Group | None, dict[MemberId, str]]:
    """(the group, who is connected to which session). Raises Garbled."""
    strings, at = [], 4
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        at += 4 + size
        strings.append(data[at - size : at])
    count = int.from_bytes(data[:4], "big")
    if at != len(data) or count % 2 or len(strings) % 2 or count > len(strings):
        raise Garbled("a picture that is cut")
    pairs = list(zip(strings[::2], strings[1::2], strict=True))
    fields, online = dict(pairs[: count // 2]), pairs[count // 2 :]
    key, moved = fields.pop(b"key", None), fields.pop(b"moved", None)
    if key is None:
        return None, {}
    if len(key) != KEY_BYTES or len(fields) > MEMBERS_MAX:
        raise Garbled("a group that cannot be")
    members = {_id(member): _card(card) for member, card in fields.items()}
    sessions = {_id(member): _session(session) for member, session in online}
    notice = None if moved is None else _notice(moved[MOVE_DIGITS:])
    return Group(name_id, key, members, notice), {m: s for m, s in sessions.items() if m in members}


def fields_of(group: Group) -> tuple[bytes | str, ...]:
    """A group as RESTORE wants it."""
    fields: list[bytes | str] = [group.name_id, "key", group.group_key]
    if group.moved is not None:
        number, notice = _numbered(group.moved)
        fields += ["moved", number + notice]
    for member, card in group.members.items():
        fields += [member, card]
    return tuple(fields)


def _numbered(notice: MoveNotice) -> tuple[bytes, bytes]:
    return f"{notice.number:0{MOVE_DIGITS}x}".encode(), encode_move(notice)


def _notice(data: bytes) -> MoveNotice:
    try:
        return decode_move(data)
    except MessageError as error:
        raise Garbled("a move that cannot be") from error


def _id(data: bytes) -> MemberId:
    if len(data) != ID_BYTES:
        raise Garbled("an id of another length")
    return MemberId(data)


def _session(data: bytes) -> str:
    if len(data) != SESSION_BYTES or not data.isalnum():
        raise Garbled("a session that cannot be")
    return data.decode("ascii")


def _card(data: bytes) -> bytes:
    if len(data) > CARD_BYTES_MAX:
        raise Garbled("a card that is too long")
    return data


HOWS: dict[How, bytes] = {"joins": b"j", "again": b"a", "card": b"c"}


def _how(data: bytes) -> How:
    for how, letter in HOWS.items():
        if data == letter:
            return how
    raise Garbled("a way to enter that there is not")
