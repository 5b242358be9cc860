"""What lies in deploy/: each file is read by the program that it is for."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from bench.group import covey
from peer.cli.serving import serve
from signaling.messages import Joined
from signaling.wellknown import WELL_KNOWN_PATH, read_page
from tests.support.members import a_member
from tests.support.raw_client import free_port, raw_client, running_server

pytestmark = [pytest.mark.system, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = ["covey-server.service", "covey-turn.service"]
EXPOSURE_MAX = 15
"""Tenths, as systemd-analyze counts: below 20 is its "OK", and most services have 90."""
PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN = 65, 1
DOMAIN = "covey.example.org"


def options_of(words: list[str]) -> dict[str, Any]:
    """What `covey serve` understands; it refuses what it does not know."""
    known = {"${COVEY_DOMAIN}": DOMAIN, "%S": "/var/lib", "%d": str(DEPLOY)}
    text = shlex.join(words)
    for name, value in known.items():
        text = text.replace(name, value)
    text = re.sub(r"\$\{COVEY_DOMAIN:\?[^}]*\}", DOMAIN, text)
    return serve.make_context("serve", shlex.split(text)).params


@pytest.fixture
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def test_compose_has_the_server_turn_tls_and_redis_on_demand(compose: dict[str, Any]):
    services = compose["services"]
    assert set(services) == {"covey", "coturn", "caddy", "redis"}
    assert services["redis"]["profiles"] == ["redis"]
    assert {name for name, one in services.items() if "ports" in one} == {"caddy"}
    for one in services.values():
        assert one["read_only"]
        assert one["cap_drop"] == ["ALL"]
        assert one["security_opt"] == ["no-new-privileges:true"]
        assert one["restart"] == "unless-stopped"


def test_compose_believes_the_web_server_and_nobody_else(compose: dict[str, Any]):
    options = options_of(compose["services"]["covey"]["command"])
    (network,) = compose["networks"]["inside"]["ipam"]["config"]
    assert options["proxies"] == (network["subnet"],)
    assert options["names"] == (DOMAIN,)
    assert compose["services"]["caddy"]["environment"]["COVEY_UPSTREAM"] == "covey:8000"


def test_the_turn_secret_is_in_no_environment_and_both_have_it(compose: dict[str, Any]):
    for name in ("covey", "coturn"):
        service = compose["services"][name]
        assert service["secrets"] == ["turn_secret"]
        assert "/run/secrets/turn_secret" in str(service)
    assert "static-auth-secret" not in (DEPLOY / "coturn.conf").read_text()


def test_the_example_has_every_variable_that_is_asked_for():
    example = (DEPLOY / "server.env.example").read_text()
    known = set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))
    for name in ("compose.yaml", *UNITS, "Caddyfile"):
        asked = set(re.findall(r"\{\$?([A-Z_]{2,})[:}]", (DEPLOY / name).read_text()))
        assert asked <= known | {"COVEY_UPSTREAM", "TURN_SECRET_FILE"}, name


def test_the_images_run_as_nobody_and_start_what_there_is():
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", "")
    parts = re.split(r"^FROM \S+ AS ", text, flags=re.MULTILINE)[1:]
    stages = {part.split()[0]: part for part in parts}
    assert set(stages) == {"build", "server", "turn"}
    for name in ("server", "turn"):
        assert "USER 10001:10001" in stages[name]
    (start,) = re.findall(r"^ENTRYPOINT (\[.*\])", stages["server"], re.MULTILINE)
    words = yaml.safe_load(start)
    assert words[:2] == ["/opt/covey/bin/covey", "serve"]
    assert options_of(words[2:])["port"] == 8000
    ignored = (ROOT / ".dockerignore").read_text()
    for source in re.findall(r"^COPY --chmod=\d+ (\S+)", stages["turn"], re.MULTILINE):
        assert (ROOT / source).exists()
        assert f"!{source}" in ignored


def test_the_ports_of_relays_are_those_of_the_image():
    conf = (DEPLOY / "coturn.conf").read_text()
    lowest, highest = (
        re.search(rf"^{name}=(\d+)", conf, re.MULTILINE) for name in ("min-port", "max-port")
    )
    assert lowest is not None
    assert highest is not None
    ports = f"{lowest[1]}-{highest[1]}"
    for name in ("deploy/Dockerfile", "docs/operating.md"):
        assert ports in (ROOT / name).read_text()


# --- systemd --------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_leaves_a_break_in_little_to_reach(unit: str):
    done = subprocess.run(
        [
            *("systemd-analyze", "security", "--no-pager", "--offline=true"),
            *(f"--threshold={EXPOSURE_MAX}", str(DEPLOY / unit)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_is_one_that_systemd_understands(unit: str, tmp_path: Path):
    text = (DEPLOY / unit).read_text()
    installed = text.replace("/opt/covey/bin/covey", "/bin/true")
    installed = installed.replace("/opt/covey/deploy/coturn-start", str(DEPLOY / "coturn-start"))
    (tmp_path / unit).write_text(installed)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert unit not in done.stderr


def test_the_servers_unit_starts_what_there_is():
    text = (DEPLOY / "covey-server.service").read_text().replace("\\\n", "")
    (line,) = re.findall(r"^ExecStart=/opt/covey/bin/covey serve (.*)", text, re.MULTILINE)
    options = options_of(line.split())
    assert options["names"] == (DOMAIN,)
    assert len(options["turn_urls"]) == 2
    assert options["metrics"] == ("127.0.0.1", 9464)


async def test_the_server_needs_no_memory_that_is_written_and_then_run(tmp_path: Path):
    libc = ctypes.CDLL(None)
    server = await asyncio.create_subprocess_exec(
        *covey("serve", "--data", str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        # What MemoryDenyWriteExecute asks of the kernel; one before 6.3 does not know it.
        preexec_fn=lambda: libc.prctl(PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN, 0, 0, 0),
    )
    try:
        assert server.stdout is not None
        url = (await server.stdout.readline()).decode().strip()
        async with raw_client(url) as client:
            assert isinstance(await client.join(a_member("anna"), create=True), Joined)
    finally:
        server.terminate()
        await server.wait()


# --- Caddy ----------------------------------------------------------------------------------


async def test_caddy_lets_members_through_with_their_address_and_nothing_else(tmp_path: Path):
    port = free_port()
    front = f"http://localhost:{port}"
    async with running_server(tmp_path / "server", names=(f"localhost:{port}",)) as url:
        environment = os.environ | {
            "COVEY_DOMAIN": front,
            "COVEY_UPSTREAM": url.removeprefix("http://"),
            "HOME": str(tmp_path),
            "XDG_DATA_HOME": str(tmp_path),
            "XDG_CONFIG_HOME": str(tmp_path),
        }
        command = ["--adapter", "caddyfile", "--config", str(DEPLOY / "Caddyfile")]
        caddy = await asyncio.create_subprocess_exec("caddy", "run", *command, env=environment)
        try:
            await answers(front)
            async with raw_client(front) as client:
                assert isinstance(await client.join(a_member("anna"), create=True), Joined)
            async with aiohttp.ClientSession() as session:
                async with session.get(front + WELL_KNOWN_PATH) as answer:
                    assert read_page(await answer.read()) == front
                for path in ("/", "/metrics", "/readyz", "/v1/ws/x"):
                    async with session.get(front + path) as answer:
                        assert answer.status == 404
        finally:
            caddy.terminate()
            await caddy.wait()


async def answers(url: str) -> None:
    """Wait until somebody does."""
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{url}/healthz") as answer:
                    assert answer.status == 200
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
