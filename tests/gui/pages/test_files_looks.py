"""Files and Restore in both themes, wide and narrow: nobody is kept out, nothing sticks out.

The pictures are kept in build/screenshots, to be looked at.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.gui.pages.conftest import Opened
from tests.gui.pages.nights import LETTER, with_nights
from tests.gui.pages.test_looks import PICTURES, grave
from tests.gui.pages.test_restore import at

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
@pytest.mark.parametrize(
    ("name", "address", "shown"),
    [("files", "files", ".switches .switch"), ("restore", at(LETTER), ".versions .version")],
)
def test_the_page_is_whole_and_keeps_nobody_out(
    opened: Opened, name: str, address: str, shown: str, width: int, theme: str
):
    page = opened(with_nights(50), address, width=width, theme=theme)
    expect(page.locator(shown).first).to_be_visible()
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}-{theme}-{width}.png", full_page=True)
    assert grave(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
