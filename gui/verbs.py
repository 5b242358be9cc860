"""The verbs of the window: `covey` itself, `covey url`, `covey open`, the agent with its pages."""

from __future__ import annotations

import contextlib
import webbrowser

import click

from gui import links
from peer.cli import output, running
from peer.cli.running import ToldToEnd, Verb, Wishes, pass_wishes
from peer.service import Problem

HOW_TO_GET_A_WINDOW = (
    "For a window of its own: pip install 'covey[window]', or the system's WebKitGTK."
)


@click.command(cls=Verb, hidden=True)
@click.option("--browser", is_flag=True, help="Open the pages in the browser.")
@pass_wishes
def window(wishes: Wishes, browser: bool) -> None:
    """Open the window, or the pages in the browser where there can be none."""
    _open(wishes, "", browser=browser)


@click.command(cls=Verb)
@pass_wishes
def url(wishes: Wishes) -> None:
    """Print an address of the pages, good once, for a computer without a screen."""
    from gui.window.opening import page_address

    address = page_address(wishes.state)
    output.say(output.as_json({"url": address}) if wishes.json else address)


@click.command("open", cls=Verb)
@click.argument("link")
@click.option("--browser", is_flag=True, help="Open the page in the browser.")
@pass_wishes
def open_link(wishes: Wishes, link: str, browser: bool) -> None:
    """Open the window with a `covey:` LINK, an invitation to a group."""
    try:
        invitation = links.read(link)
    except ValueError as error:
        raise Problem(f"This is no invitation: {error}.", "Ask your friend for it again.") from None
    _open(wishes, links.page_of(invitation), browser=browser)


@click.command(cls=Verb)
@click.option("--no-schedule", is_flag=True, help="Let no backup come by itself.")
@click.option(
    "--take-over",
    is_flag=True,
    help="Go on here although another computer backs up with the same recovery words; that one "
    "stops.",
)
@pass_wishes
def agent(wishes: Wishes, no_schedule: bool, take_over: bool) -> None:
    """Be this member, in the foreground, until SIGTERM or Ctrl-C; serves the pages too."""
    from gui.agent import run_agent

    state = wishes.state
    if state.joined:
        config = state.config()
        name, group = output.shown(config.member_name), output.shown(config.group)
        output.warn(f"{name} in «{group}»; Ctrl-C ends it.")
    else:
        output.warn("In no group yet; `covey url` prints where to join one. Ctrl-C ends it.")
    with contextlib.suppress(ToldToEnd):
        scheduled = not no_schedule
        running.run(run_agent(state, wishes.entry(), scheduled=scheduled, take_over=take_over))


def _open(wishes: Wishes, page: str, *, browser: bool) -> None:
    from gui.window.opening import page_address
    from gui.window.window import NoWindow, show

    address = page_address(wishes.state, page)
    if not browser:
        try:
            show(address)
        except NoWindow as reason:
            output.warn(f"No window: {reason}. {HOW_TO_GET_A_WINDOW}")
            address = page_address(wishes.state, page)
        else:
            return
    if webbrowser.open(address):
        output.say("Covey is open in the browser.")
    else:
        output.say(f"Open this address in a browser; it is good once:\n{address}")
