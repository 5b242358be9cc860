"""Numbers, times, tables and names of others as text that is safe to print.

File names and names of friends are chosen by others, and a terminal obeys control characters, so
every such text passes through `shown`. Everything here is a pure function but `say` and `warn`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime

import click
from rich.cells import cell_len

from peer.space.sizes import size_text

size = size_text


def shown(text: object) -> str:
    """`text` with everything that a terminal would act on written as an escape."""
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in str(text))


def _escaped(letter: str) -> str:
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as os.fsdecode carries it
        return f"\\x{code - 0xDC00:02x}"
    return letter.encode("unicode_escape", "backslashreplace").decode("ascii")


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 file`, `12,431 files`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """A time that is left or was needed, as roughly as a person would say it."""
    if seconds < 60:
        return f"{max(round(seconds), 0)} s"
    if seconds < 3600:
        return f"{round(seconds / 60)} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{round(seconds / 86400)} days"


def moment(time_ns: int) -> str:
    """A point in time by the clock on the wall here."""
    local = datetime.fromtimestamp(time_ns // 1_000_000_000).astimezone()
    return local.strftime("%Y-%m-%d %H:%M:%S")


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, right: str = "") -> str:
    """Columns under their names; those whose position in `right` is `r` end at the same place."""
    cells = [list(head), *[[shown(cell) for cell in row] for row in rows]]
    widths = [max(cell_len(row[column]) for row in cells) for column in range(len(head))]
    sides = right.ljust(len(head), "l")
    return "\n".join(
        "  ".join(
            _filled(cell, width, side) for cell, width, side in zip(row, widths, sides, strict=True)
        ).rstrip()
        for row in cells
    )


def _filled(cell: str, width: int, side: str) -> str:
    space = " " * (width - cell_len(cell))
    return space + cell if side == "r" else cell + space


def as_json(value: object) -> str:
    """One line of JSON; bytes that are not UTF-8 stay escaped lone surrogates."""
    return json.dumps(value, ensure_ascii=True)


def say(text: str) -> None:
    """Print to standard output, at once."""
    click.echo(text)


def warn(text: str) -> None:
    """Print to standard error, at once."""
    click.echo(text, err=True)
