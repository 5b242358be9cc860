"""Collects every text that people see, and makes of each catalogue what the pages read.

`make words` runs it: texts come from `t(...)` and `tn(...)` of the pages and from the sentences of
the agent; `pages/locale/covey.pot` lists them, `<language>.po` is for translators, and
`<language>.json` is made from it for the pages: {text: translation, or list of plural forms}.

The agent's sentences are f-strings whose values stand as {a}, {b}... in the catalogue; the pages
find the one that fits (base/told.js). A sentence is a string that begins and ends like one.
"""

from __future__ import annotations

import ast
import json
import re
import string
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po, write_po

GUI = Path(__file__).parent
LOCALE = GUI / "pages" / "locale"
AGENT = (GUI.parent / "peer", GUI / "web")
NOT_SHOWN = ("cli", "doctor")  # what these say is for a terminal
SHOWN_TOO = ("peer/cli/explaining.py",)  # but this explains errors to all
LANGUAGES = ("de",)
LETTERS_MIN = 8  # with fewer outside of its places a sentence would fit anything

_TEXT = r'"(?:[^"\\\n]|\\.)*"'
_CALL = re.compile(rf"\bt\(\s*({_TEXT})|\btn\(\s*({_TEXT}),\s*({_TEXT})")
_COMMENT = re.compile(r"^\s*//.*$", re.MULTILINE)
_SENTENCE = re.compile(r"^[A-Z«{].* .*[.!?]$", re.DOTALL)
_SQL = re.compile(r"^(SELECT|INSERT|UPDATE|DELETE|WHERE|CREATE|BEGIN)\b")


def of_pages() -> Iterator[tuple[str, str | tuple[str, ...]]]:
    """Where each text of the pages is, and the text; two of them where it has a plural."""
    for file in sorted((GUI / "pages").rglob("*.js")):
        code = _COMMENT.sub("", file.read_text(encoding="utf-8"))
        for one, *both in _CALL.findall(code):
            text = json.loads(one) if one else tuple(map(json.loads, both))
            yield file.relative_to(GUI.parent).as_posix(), text


def of_agent() -> Iterator[tuple[str, str]]:
    """Where each sentence of the agent is, and the sentence with its places."""
    for folder in AGENT:
        for file in sorted(folder.rglob("*.py")):
            within = file.relative_to(GUI.parent)
            if within.as_posix() in SHOWN_TOO or not set(within.parts) & set(NOT_SHOWN):
                yield from ((within.as_posix(), text) for text in sentences(file.read_text()))


def sentences(source: str) -> Iterator[str]:
    """The sentences in a module's code that are not documentation."""
    tree = ast.parse(source)
    apart: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            apart.add(id(node.value))  # docstrings
        elif isinstance(node, ast.JoinedStr):
            apart |= {id(value) for value in node.values}
    for node in ast.walk(tree):
        text = "" if id(node) in apart else _with_places(node)
        if _SENTENCE.match(text) and not _SQL.match(text) and _letters(text) >= LETTERS_MIN:
            yield text


def _letters(text: str) -> int:
    return sum(letter.isalpha() for letter in re.sub(r"\{\w\}", "", text))


def _with_places(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.JoinedStr):
        return ""
    names = iter(string.ascii_lowercase)
    parts = (
        str(value.value) if isinstance(value, ast.Constant) else f"{{{next(names)}}}"
        for value in node.values
    )
    return "".join(parts)


def template() -> Catalog:
    """Every text there is, without translations."""
    catalog = Catalog(project="Covey", copyright_holder="The Covey developers", charset="utf-8")
    for place, text in [*of_pages(), *of_agent()]:
        catalog.add(text, locations=[(place, 0)])
    return catalog


def read(language: str) -> Catalog:
    """A language's catalogue as it is kept."""
    file = LOCALE / f"{language}.po"
    if not file.exists():
        return Catalog(locale=language, charset="utf-8")
    with file.open("rb") as stream:
        return read_po(stream, locale=language)


def for_pages(catalog: Catalog) -> dict[str, str | list[str]]:
    """What the pages read of a catalogue: text to translation, or to its plural forms."""
    words: dict[str, str | list[str]] = {}
    for message in catalog:
        if message.id and message.string and not message.fuzzy:
            text = message.id if isinstance(message.id, str) else message.id[0]
            made = message.string
            words[text] = made if isinstance(made, str) else list(made)
    return dict(sorted(words.items()))


def missing(catalog: Catalog) -> list[Message]:
    """Texts that a catalogue has no complete translation of."""
    return [one for one in catalog if one.id and not _whole(one.string)]


def _whole(text: str | tuple[str, ...] | list[str] | None) -> bool:
    return bool(text) if isinstance(text, str) else bool(text and all(text))


def main() -> None:
    """Bring the template, the catalogues and what is made from them up to date."""
    current = template()
    _write(LOCALE / "covey.pot", current)
    for language in LANGUAGES:
        catalog = read(language)
        catalog.update(current, no_fuzzy_matching=True)
        catalog.obsolete.clear()
        _write(LOCALE / f"{language}.po", catalog)
        made = json.dumps(for_pages(catalog), ensure_ascii=False, indent=0)
        (LOCALE / f"{language}.json").write_text(made + "\n", encoding="utf-8")
        print(
            f"{language}: {len(missing(catalog))} of {len(catalog)} texts have no translation yet"
        )


def _write(file: Path, catalog: Catalog) -> None:
    with file.open("wb") as stream:
        write_po(
            stream, catalog, width=100, omit_header=file.suffix == ".pot", include_lineno=False
        )


if __name__ == "__main__":
    main()
