"""The recovery sheet: the 24 words on paper, and as a picture that a telephone can read."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import segno
from fpdf import FPDF
from fpdf.enums import XPos, YPos

COLUMNS = 3
_MARGIN_MM, _QR_MM = 22, 42
_INK, _SOFT = (38, 45, 43), (105, 112, 110)


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is on it."""

    group: str
    member: str
    words: Sequence[str]
    made_on: str
    """The day, as the person writes it."""


def qr_svg(words: Sequence[str]) -> bytes:
    """The words as a QR code, black on white with its quiet zone."""
    out = io.BytesIO()
    code = segno.make(" ".join(words), error="m", micro=False)
    code.save(out, kind="svg", border=4, light="white", xmldecl=False, scale=4, omitsize=True)
    return out.getvalue()


def sheet_pdf(sheet: Sheet) -> bytes:
    """One page of A4. Letters that the built-in fonts lack become question marks, never words."""
    page = FPDF(format="A4")
    page.set_title("Covey recovery sheet")
    page.set_margin(_MARGIN_MM)
    page.add_page()
    page.set_text_color(*_INK)
    page.set_font("helvetica", "B", 22)
    _line(page, "Covey recovery sheet", 12)
    page.set_font("helvetica", size=11)
    page.set_text_color(*_SOFT)
    _line(page, f"Group: {_latin(sheet.group)}", 6)
    _line(page, f"Computer: {_latin(sheet.member)}", 6)
    _line(page, f"Made on {_latin(sheet.made_on)}", 10)
    page.set_text_color(*_INK)
    page.multi_cell(
        0,
        6,
        "These 24 words are the only thing that can open your backups. Keep this sheet where you "
        "keep your passport, not on this computer. Nobody can replace it, and nobody needs it but "
        "you.",
        new_x=XPos.LMARGIN,
        new_y=YPos.NEXT,
    )
    page.ln(6)
    _words(page, sheet.words)
    page.ln(8)
    picture = io.BytesIO()
    segno.make(" ".join(sheet.words), error="m", micro=False).save(
        picture, kind="png", scale=8, border=4
    )
    page.image(picture, x=page.l_margin, w=_QR_MM)
    page.set_xy(page.l_margin + _QR_MM + 8, page.get_y() - _QR_MM + 4)
    page.multi_cell(
        0,
        6,
        'On a new computer: install Covey, choose "I had Covey on another computer", and type '
        "the group's name, its password and these words. Everything comes back from your friends.",
    )
    return bytes(page.output())


def _line(page: FPDF, text: str, height: float) -> None:
    page.cell(0, height, text, new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _words(page: FPDF, words: Sequence[str]) -> None:
    """Numbered, read column by column."""
    rows = -(-len(words) // COLUMNS)
    width = page.epw / COLUMNS
    top = page.get_y()
    for at, word in enumerate(words):
        column, row = divmod(at, rows)
        page.set_xy(page.l_margin + column * width, top + row * 9)
        page.set_font("helvetica", size=10)
        page.set_text_color(*_SOFT)
        page.cell(9, 8, f"{at + 1}.", align="R")
        page.set_font("courier", "B", 14)
        page.set_text_color(*_INK)
        page.cell(width - 9, 8, f" {word}")
    page.set_xy(page.l_margin, top + rows * 9)
    page.set_font("helvetica", size=11)


def _latin(text: str) -> str:
    return text.encode("latin-1", "replace").decode("latin-1")
