"""What answers at the port that an agent had is believed only if it is that agent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from gui.agent import pages_file
from gui.window.opening import _address
from peer.state import StateFolder


class Impostor(BaseHTTPRequestHandler):
    """Another program, which got the port after the agent was killed."""

    heard: list[str]
    answer: object

    def do_POST(self) -> None:
        self.heard.append(str(self.headers))
        data = json.dumps(self.answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def impostor() -> Iterator[tuple[type[Impostor], int]]:
    made = type("One", (Impostor,), {"heard": [], "answer": None})
    server = HTTPServer(("127.0.0.1", 0), made)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield made, server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "answer",
    [
        {"key": "k"},
        {"key": "k", "proof": "00" * 32},
        {"key": "k", "proof": "ü"},
        [],
        "no",
        None,
        {},
    ],
)
def test_another_program_at_the_agents_port_is_not_opened_and_learns_no_secret(
    tmp_path: Path, impostor: tuple[type[Impostor], int], answer: object
):
    program, port = impostor
    program.answer = answer
    state = StateFolder(tmp_path / "state")
    state.prepare()
    secret = "5ec2e7" * 10
    pages_file(state).write_text(json.dumps({"port": port, "secret": secret, "pid": 1}))
    assert _address(state, "") is None
    assert len(program.heard) == 1
    assert secret not in program.heard[0]
