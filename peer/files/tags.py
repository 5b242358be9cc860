"""The tag «For backup» in `user.xdg.tags`: a list of words that many file managers show and edit.

The attribute is UTF-8, words parted by commas, without escapes (freedesktop's common extended
attributes). Other programs' tags are never lost: what is not ours stays as it is, in its order.
"""

from __future__ import annotations

ATTRIBUTE = "user.xdg.tags"
TAG = "For backup"
EMBLEM = "emblem-covey-marked"
"""With "emblem-": Thunar takes the name as it is, Nemo with or without one more of it in front."""


def parse(value: bytes) -> list[str]:
    """The tags, without blanks around them; what is not UTF-8 is kept as it can be."""
    text = value.decode("utf-8", "surrogateescape")
    return [tag for tag in (one.strip() for one in text.split(",")) if tag]


def has_tag(value: bytes) -> bool:
    """Whether ours is one of them, in whatever case somebody typed it."""
    return any(_is_ours(tag) for tag in parse(value))


def with_tag(value: bytes) -> bytes:
    """The list with our tag, at its end if it is new."""
    if has_tag(value):
        return value
    return _joined([*parse(value), TAG])


def without_tag(value: bytes) -> bytes:
    """The list without our tag; empty when no other is left."""
    if not has_tag(value):
        return value
    return _joined([tag for tag in parse(value) if not _is_ours(tag)])


def _is_ours(tag: str) -> bool:
    return tag.casefold() == TAG.casefold()


def _joined(tags: list[str]) -> bytes:
    return ",".join(tags).encode("utf-8", "surrogateescape")
