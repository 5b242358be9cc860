"""The recovery key as 24 words of the BIP-39 English list, and back.

`words_of` and `master_of` are inverse. `master_of` forgives what hands and printers do to words
(capitals, numbering, commas, line breaks, lines that start with `#`) and nothing else: a wrong
word is named with its number and its neighbours in the list, and the checksum, 8 bits of SHA-256,
catches 255 of 256 lists whose words are all in the list but are wrong or in another order.

Not here: where the key is kept (state.py) and what is derived from it (chunking/keys.py).
"""

from __future__ import annotations

import difflib
import functools
import re
import unicodedata

from mnemonic import Mnemonic

WORD_COUNT = 24
MASTER_BYTES = 32

# A word is a run of letters; digits, dots, brackets and commas around it are numbering.
_WORD = re.compile(r"[^\W\d_]+")


class WordsError(ValueError):
    """The text is not a recovery key; the message says which word is wrong."""


@functools.cache
def _list() -> Mnemonic:
    return Mnemonic("english")


def words_of(master: bytes) -> list[str]:
    """The 24 words of a 32-byte master key."""
    if len(master) != MASTER_BYTES:
        raise ValueError(f"a master key has {MASTER_BYTES} bytes, not {len(master)}")
    return str(_list().to_mnemonic(master)).split()


def master_of(text: str) -> bytes:
    """The master key that the words in `text` stand for; raises `WordsError`."""
    words = _words_in(text)
    known = set(_list().wordlist)
    for number, word in enumerate(words, start=1):
        if word not in known:
            raise WordsError(_unknown(number, word))
    if len(words) != WORD_COUNT:
        raise WordsError(f"A recovery key has {WORD_COUNT} words, and these are {len(words)}.")
    try:
        return bytes(_list().to_entropy(words))
    except ValueError:
        raise WordsError(
            f"All {WORD_COUNT} words are in the list, but they do not belong together: "
            "one of them is another word, or two changed places."
        ) from None


def numbered(words: list[str], *, columns: int = 4) -> str:
    """The words as a block for the eye: numbered, read line by line."""
    width = max(len(word) for word in words)
    cells = [f"{number:2}. {word:<{width}}" for number, word in enumerate(words, start=1)]
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    return "\n".join("   ".join(row).rstrip() for row in rows)


def _words_in(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return _WORD.findall(unicodedata.normalize("NFKC", "\n".join(lines)).lower())


def _unknown(number: int, word: str) -> str:
    near = difflib.get_close_matches(word, _list().wordlist, n=3, cutoff=0.7)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"Word {number}, «{word[:32]}», is not in the list of recovery words.{hint}"
