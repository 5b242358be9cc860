"""Joining by the domain in a group's name, over real TLS: page, server and command line."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.group import covey
from signaling.wellknown import WELL_KNOWN_PATH, page
from tests.support.raw_client import running_server

pytestmark = [pytest.mark.system, pytest.mark.slow]

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def certificate(folder: Path) -> Path:
    """A certificate and its key for localhost, in one file; it is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return file


@asynccontextmanager
async def tls(certificate: Path, talk: Talk) -> AsyncIterator[int]:
    """The port of something that speaks TLS first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def before(url: str) -> Talk:
    """Hands on every byte to the server with this URL."""
    port = int(url.rpartition(":")[2])

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except (ConnectionError, ssl.SSLError):
            pass  # either end may go first
        finally:
            writer.close()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

    return talk


def domain_of(url: str) -> Talk:
    """A domain's web server, which has one page."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        assert asked.startswith(f"GET {WELL_KNOWN_PATH} ".encode())
        body = page(url)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    return talk


async def join(folder: Path, group: str, trusted: Path | None) -> dict[str, Any]:
    """`covey join` as a computer that trusts this authority; its answer."""
    (folder / "password").write_text("gravel-pelican-oboe-thirteen")
    process = await asyncio.create_subprocess_exec(
        *covey("--home", str(folder / "home"), "--json", "join", group, "--create"),
        *("--space", "1MB", "--password-file", str(folder / "password")),
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin"} | ({"SSL_CERT_FILE": str(trusted)} if trusted else {}),
    )
    output, _ = await process.communicate()
    answer: dict[str, Any] = json.loads(output)
    assert answer["ok"] == (process.returncode == 0)
    return answer


async def test_a_group_with_a_domain_needs_no_address_and_trusts_no_wrong_certificate(
    tmp_path: Path,
):
    pem = certificate(tmp_path)
    async with AsyncExitStack() as stack, asyncio.timeout(100):
        url = await stack.enter_async_context(running_server(tmp_path / "server"))
        front = await stack.enter_async_context(tls(pem, before(url)))
        server = f"https://localhost:{front}"
        domain = await stack.enter_async_context(tls(pem, domain_of(server)))
        group = f"testers@localhost:{domain}"
        untrusted = await join(tmp_path, group, None)
        assert untrusted["code"] == "no_server"
        assert f"localhost:{domain}" in untrusted["error"]
        assert not (tmp_path / "home" / "config.json").exists()
        joined = await join(tmp_path, group, pem)
        assert joined["created"] is True
        config = json.loads((tmp_path / "home" / "config.json").read_bytes())
        assert config["server"] == server


async def test_a_domain_that_says_http_is_not_followed(tmp_path: Path):
    pem = certificate(tmp_path)
    async with tls(pem, domain_of("http://localhost:8000")) as domain, asyncio.timeout(60):
        answer = await join(tmp_path, f"testers@localhost:{domain}", pem)
        assert "not https" in answer["error"]
        assert "--server" in answer["next_step"]
