"""`covey serve`: the signaling server, and what an operator can tell it."""

from __future__ import annotations

import contextlib
import ipaddress
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from peer.cli import output
from peer.cli.running import ToldToEnd, Verb, Wishes, pass_wishes, run

if TYPE_CHECKING:
    from signaling.messages import IceServer
    from signaling.turn import TurnConfig


@click.command(cls=Verb)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("covey-server"),
    show_default=True,
    help="Folder of the server's database.",
)
@click.option(
    "--store",
    metavar="URL",
    envvar="COVEY_STORE",
    help="A Redis instead, redis://HOST:PORT/0, which several servers share.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="HOST[:PORT]",
    help="What members call this server, as in its URL; give it for a public one.",
)
@click.option(
    "--proxy",
    "proxies",
    multiple=True,
    metavar="ADDRESS",
    callback=lambda _ctx, _param, values: tuple(map(_network, values)),
    help="A reverse proxy, or a network of them, that is believed what addresses its clients have. "
    "Without it those on this computer.",
)
@click.option(
    "--metrics",
    metavar="[HOST:]PORT",
    callback=lambda _ctx, _param, value: _listening(value),
    help="Serve /metrics there; without HOST for this computer only.",
)
@click.option(
    "--turn",
    "turn_urls",
    multiple=True,
    metavar="URL",
    help="A TURN server for members that no direct path connects, turn:HOST:3478?transport=udp or "
    "turns:HOST:5349?transport=tcp. Members get credentials of their own.",
)
@click.option(
    "--turn-secret-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The secret that this server shares with coturn is the first line of this file.",
)
@click.option(
    "--stun",
    "stun_urls",
    multiple=True,
    metavar="URL",
    help="A STUN server, stun:HOST:3478. TURN servers over UDP are asked anyway.",
)
@click.option(
    "--announce",
    is_flag=True,
    help="Tell the local network by mDNS, so that members there need no address.",
)
@click.option(
    "--log",
    "log_style",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How the log on standard error looks.",
)
@pass_wishes
def serve(
    wishes: Wishes,
    host: str,
    port: int,
    data: Path,
    store: str | None,
    names: tuple[str, ...],
    proxies: tuple[str, ...],
    metrics: tuple[str, int] | None,
    turn_urls: tuple[str, ...],
    turn_secret_file: Path | None,
    stun_urls: tuple[str, ...],
    announce: bool,
    log_style: Literal["text", "json"],
) -> None:
    """Run the signaling server; the first line that it prints is its URL."""
    from signaling import logs, main
    from signaling.config import LOCAL_PROXIES, ServerConfig

    def ready(url: str) -> None:
        output.say(output.as_json({"url": url}) if wishes.json else url)
        sys.stdout.flush()

    with contextlib.suppress(ToldToEnd):
        config = ServerConfig(
            host=host,
            port=port,
            data=data,
            store=store,
            names=tuple(name.lower() for name in names),
            proxies=proxies or LOCAL_PROXIES,
            metrics=metrics,
            ice_servers=_stun(stun_urls),
            turn=_turn(turn_urls, turn_secret_file),
        )
        logs.set_up(log_style)
        if announce:
            from peer.assembly import random_bytes
            from peer.finding.real import serve_on_lan

            run(serve_on_lan(config, ready=ready, random_bytes=random_bytes))
        else:
            run(main.serve(config, ready=ready, is_alone=True))


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise click.BadParameter(f"«{output.shown(text)}» is no address and no network.") from None


def _turn(urls: tuple[str, ...], secret_file: Path | None) -> TurnConfig | None:
    from signaling.turn import TurnConfig, TurnError, read_secret

    if not urls and secret_file is None:
        return None
    if not urls or secret_file is None:
        raise click.UsageError("--turn and --turn-secret-file need each other.")
    try:
        return TurnConfig(urls, read_secret(secret_file))
    except TurnError as error:
        raise click.UsageError(f"{error}.") from error


def _stun(urls: tuple[str, ...]) -> tuple[IceServer, ...]:
    from signaling.messages import ICE_URL, IceServer

    for url in urls:
        if not (ICE_URL.fullmatch(url) and url.startswith("stun:")):
            raise click.UsageError(f"«{output.shown(url)}» is not like stun:HOST:3478.")
    return tuple(IceServer((url,)) for url in urls)


def _listening(where: str | None) -> tuple[str, int] | None:
    """(host, port) of [HOST:]PORT."""
    if where is None:
        return None
    host, _, port = where.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        raise click.BadParameter("give a port, or HOST:PORT.")
    return host.strip("[]") or "127.0.0.1", int(port)
