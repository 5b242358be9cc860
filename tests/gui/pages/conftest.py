"""A browser for the tests of the pages, and agents that say what a test wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.gui.pages.scripted import Agent, served

CHROMIUM = "/usr/bin/chromium"
PATIENCE_MS = 10_000  # the machine of CI has many tests at once

Opened = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Not for the session: Playwright keeps an event loop running in this thread while it lasts,
    in which no other test could run its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    """`opened(agent, "home")` serves the agent and shows one of its pages.

    What a page writes to the console as an error, a refusal by the CSP included, fails the test
    at its end; `errors_expected` is for tests in which the agent refuses something.
    """
    errors: list[str] = []
    with ExitStack() as stack:

        def open_page(
            agent: Agent,
            name: str = "home",
            *,
            width: int = 1200,
            theme: str = "light",
            locale: str = "en-GB",
            errors_expected: bool = False,
        ) -> Page:
            if not agent.url:
                stack.enter_context(served(agent))
            context = browser.new_context(
                viewport={"width": width, "height": 800},
                color_scheme="dark" if theme == "dark" else "light",
                locale=locale,
                timezone_id="Europe/Berlin",
            )
            context.grant_permissions(["clipboard-read", "clipboard-write"])
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(PATIENCE_MS)

            def heard(message: ConsoleMessage) -> None:
                if message.type == "error" and not errors_expected:
                    errors.append(message.text)

            page.on("console", heard)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(f"{agent.url}/#/{name}")
            return page

        yield open_page
    assert not errors
