"""The way from a command to the pages: find the agent or start it, and get a one-time address.

The agent is a process of its own, so that closing the window, or the terminal, leaves it at work.
"""

from __future__ import annotations

import hmac
import json
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import msgspec
import psutil

from gui.agent import LOCK_FILE, pages_file
from gui.web.door import proof
from gui.web.guard import HOST
from gui.web.server import NONCE_HEADER, PagesFile
from peer.service import Problem
from peer.state import StateFolder

START_S = 30.0
"""How long an agent may take to serve its pages; it imports WebRTC first."""
LOOK_EVERY_S = 0.1
ANSWER_S = 5.0
ANSWER_BYTES_MAX = 4096
NONCE_BYTES = 16
LOG_FILE = "agent.log"
LOG_BYTES_MAX = 1 << 20
LOG_TAIL_BYTES = 600


def page_address(state: StateFolder, page: str = "") -> str:
    """An address of the pages that lets in once; starts the agent if none runs. Raises Problem."""
    address = _address(state, page)
    if address is not None:
        return address
    process = _start(state)
    deadline = time.monotonic() + START_S  # noqa: TID251 - a command without an event loop
    while time.monotonic() < deadline:  # noqa: TID251
        address = _address(state, page)
        if address is not None:
            return address
        if process.poll() is not None and not _another_starts(state, process.pid):
            raise _ended(state)
        time.sleep(LOOK_EVERY_S)
    raise Problem(
        "The agent does not answer.", f"Its log may say why: {state.home / LOG_FILE}", code="slow"
    )


def _address(state: StateFolder, page: str) -> str | None:
    """None while no agent serves pages for this folder."""
    try:
        found = msgspec.json.decode(pages_file(state).read_bytes(), type=PagesFile)
    except (OSError, msgspec.MsgspecError):
        return None
    try:
        key = _key(found)
    except (OSError, ValueError, KeyError, TypeError, urllib.error.URLError):
        return None  # the agent that wrote it was killed
    query = {"key": key} | ({"page": page} if page else {})
    return f"http://{HOST}:{found.port}/enter?{urllib.parse.urlencode(query)}"


def _key(found: PagesFile) -> str:
    """A one-time key of the agent that wrote this, and no other program's at its port."""
    nonce = secrets.token_hex(NONCE_BYTES)
    given = proof(found.secret, "ask", nonce)
    request = urllib.request.Request(
        f"http://{HOST}:{found.port}/key",
        method="POST",
        headers={"Authorization": f"Proof {given}", NONCE_HEADER: nonce},
    )
    with _direct().open(request, timeout=ANSWER_S) as answer:
        told = json.loads(answer.read(ANSWER_BYTES_MAX))
    key = str(told["key"])
    expected, said = proof(found.secret, "answer", nonce, key), str(told["proof"])
    if not hmac.compare_digest(expected.encode(), said.encode("utf-8", "replace")):
        raise ValueError("another program answers")
    return key


def _direct() -> urllib.request.OpenerDirector:
    """No proxy has anything to do with an address of this computer."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _start(state: StateFolder) -> subprocess.Popen[bytes]:
    state.prepare()
    log = state.home / LOG_FILE
    mode = "ab" if log.exists() and log.stat().st_size < LOG_BYTES_MAX else "wb"
    with log.open(mode) as out:
        log.chmod(0o600)
        return subprocess.Popen(
            [sys.executable, "-m", "peer", "--home", str(state.home), "agent"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def _another_starts(state: StateFolder, mine: int) -> bool:
    """Whether another agent was faster, as after a double click, and will serve the pages soon."""
    try:
        holder = int((state.home / LOCK_FILE).read_text("ascii"))
    except (OSError, ValueError):
        return False
    return holder != mine and psutil.pid_exists(holder)


def _ended(state: StateFolder) -> Problem:
    """Why the agent did not stay."""
    log = state.home / LOG_FILE
    try:
        said = log.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace").strip()
    except OSError:
        said = ""
    reason = said.splitlines()[-2:] if said else []
    text = " ".join(["The agent could not stay.", *reason])
    return Problem(text, f"Its log is {log}; the lock is {state.home / LOCK_FILE}.", code="agent")
