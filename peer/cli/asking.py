"""Passwords, sizes and recovery words: from options and files, else from the person who is there.

A person is asked only when standard input is a terminal; a script gets an error that names the
option instead of a prompt that waits for ever.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from peer import words
from peer.cli import output
from peer.service import Problem

PASSWORD_VARIABLE = "COVEY_PASSWORD"
PASSWORD_LETTERS_MAX = 1024
PASSWORD_SCORE_MIN = 3  # of zxcvbn's 0 to 4: holds against guessing at a slow hash
FILE_BYTES_MAX = 64 * 1024  # a password or words file; anything longer is another file by mistake

_SIZE = re.compile(r"\s*([-+]?[0-9]+(?:[.,][0-9]+)?)\s*([a-zA-Z]*)\s*")
_FACTORS = {
    "b": 1,
    **{letter: 1000**power for power, letter in enumerate("kmgtp", start=1)},
    **{letter + "b": 1000**power for power, letter in enumerate("kmgtp", start=1)},
    **{letter + "ib": 1024**power for power, letter in enumerate("kmgtp", start=1)},
}


def parse_size(text: str) -> int:
    """`10GB`, `1.5 TiB`, `500M` in bytes; raises ValueError with a sentence for the person."""
    found = _SIZE.fullmatch(text)
    if not found:
        raise ValueError(f"«{output.shown(text)}» is not a size. Write it like 10GB or 1.5TiB.")
    number, unit = found[1].replace(",", "."), found[2].lower()
    if not unit:
        raise ValueError(f"{number} what? Write the unit too, like {number.lstrip('+-')}GB.")
    if unit not in _FACTORS:
        raise ValueError(f"«{found[2]}» is not a unit of size. Use MB, GB, TB, MiB, GiB or TiB.")
    amount = int(float(number) * _FACTORS[unit])
    if amount <= 0:
        raise ValueError("The space to give must be more than nothing.")
    return amount


def size_option(text: str) -> int:
    """`parse_size` as the type of a click option."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def check_fits(offer_bytes: int, home: Path) -> None:
    """Refuse to give away more than the disk of `home` has free."""
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if offer_bytes > free:
        raise Problem(
            f"You offered {output.size(offer_bytes)}, but the disk of {output.shown(home)} has "
            f"only {output.size(free)} free.",
            "Offer less with --space, or put the state on a larger disk with --home.",
            code="disk_too_small",
        )


def interactive() -> bool:
    """Whether a person sits at the terminal."""
    return sys.stdin.isatty()


def password(file: Path | None, *, twice: bool) -> tuple[str, bool]:
    """The group password, and whether a person typed it just now."""
    given = read_text(file) if file else os.environ.get(PASSWORD_VARIABLE)
    if given is not None:
        lines = given.splitlines()
        return _checked(lines[0] if lines else ""), False
    if not interactive():
        raise click.UsageError(
            f"There is no password: use --password-file, or set {PASSWORD_VARIABLE}."
        )
    typed = click.prompt("Group password", hide_input=True, confirmation_prompt=twice, err=True)
    return _checked(str(typed)), True


def _checked(secret: str) -> str:
    if not secret:
        raise Problem("The password is empty.", "Use the password that your group agreed on.")
    if len(secret) > PASSWORD_LETTERS_MAX:
        raise Problem("The password is too long.", f"At most {PASSWORD_LETTERS_MAX} letters.")
    return secret


def weakness(secret: str, *, known: Sequence[str]) -> Problem | None:
    """Why `secret` is too easy to guess for a new group, or None; `known` are words near it."""
    from zxcvbn import zxcvbn  # slow to import, and needed only when a group is made

    # The library refuses more than 72 letters; a password that long is judged by its beginning.
    result = zxcvbn(secret[:72], user_inputs=[word for word in known if word])
    if result["score"] >= PASSWORD_SCORE_MIN:
        return None
    feedback = result["feedback"]
    hints = [feedback["warning"], *feedback["suggestions"]]
    hint = " ".join(text.rstrip(".") + "." for text in hints if text)
    return Problem(
        f"This password would be guessed too easily. {hint}".rstrip(),
        "Take four or more words that do not belong together.",
        code="weak_password",
    )


def recovery_words(file: Path | None) -> list[str]:
    """The 24 words from a file or from the person; raises `words.WordsError`."""
    if file:
        return words.words_of(words.master_of(read_text(file)))
    if not interactive():
        raise click.UsageError("There are no recovery words: use --words-file.")
    output.warn(f"Type your {words.WORD_COUNT} recovery words, on as many lines as you like.")
    lines: list[str] = []
    while len(" ".join(lines).split()) < words.WORD_COUNT:
        lines.append(str(click.prompt("Words", err=True)))
    return words.words_of(words.master_of("\n".join(lines)))


def read_text(file: Path) -> str:
    """A small text file, or standard input for `-`."""
    try:
        data = (
            sys.stdin.buffer.read(FILE_BYTES_MAX + 1) if str(file) == "-" else _beginning_of(file)
        )
        if len(data) > FILE_BYTES_MAX:
            raise Problem(f"{output.shown(file)} is too long.", "Is it the right file?")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise Problem(f"{output.shown(file)} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Problem(f"{output.shown(file)} is not a text file.", "Save it as UTF-8.") from error


def _beginning_of(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(FILE_BYTES_MAX + 1)
