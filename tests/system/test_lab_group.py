"""A group whose members live behind four kinds of NATs backs up to each other and restores."""

from __future__ import annotations

import os
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.group import MemberProcess
from netsim.lab.homes import Kind
from netsim.lab.network import Home, network
from netsim.lab.public import Public, public_servers
from tests.support.manifests import manifest, restored

pytestmark = [pytest.mark.system, pytest.mark.slow]

KINDS = (Kind.PORT, Kind.SYMMETRIC, Kind.NO_UDP, Kind.DUAL_STACK)
GROUP = "The Neighbours"
ONLINE_S = 30.0


def joined(home: Home, public: Public, folder: Path, password: Path) -> MemberProcess:
    """A member that has joined from home."""
    name = f"{home.kind}"
    member = MemberProcess(
        name,
        folder / name,
        within=home.computer.inside(()),
        environment=public.environment,
    )
    words = str(folder / f"{name}.words")
    entrance = ("--server", public.url, "--password-file", str(password), "--create")
    member.run("join", GROUP, "--space", "1GB", "--name", name, *entrance, "--words-file", words)
    return member


def wait_online(member: MemberProcess, friends: int) -> None:
    deadline = time.monotonic() + ONLINE_S
    while member.run("status")["friends_online"] < friends:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_members_behind_four_kinds_of_nats_back_up_and_restore(tmp_path: Path):
    files = tmp_path / "files"
    files.mkdir()
    for number in range(4):
        (files / f"file {number}").write_bytes(os.urandom(700_000))
    password = tmp_path / "password"
    password.write_text(f"correct {secrets.token_hex(8)} staple\n")
    with network() as lab, public_servers(lab, tmp_path / "public") as public:
        homes = [lab.add_home(kind) for kind in KINDS]
        with ThreadPoolExecutor(2) as pool:  # most of a join is work for a processor
            members = list(pool.map(lambda home: joined(home, public, tmp_path, password), homes))
        owner, *friends = members
        try:
            for member in members:
                member.start()
            owner.run("mark", str(files))
            wait_online(owner, len(friends))
            owner.run("backup", timeout_s=120)
            paths = {link["friend"]: link["relayed"] for link in owner.run("status")["links"]}
            back = restored(owner, "latest", files, tmp_path / "back")
        finally:
            for member in members:
                member.kill()
    assert back == manifest(files)
    assert paths == {"symmetric": True, "no-udp": True, "dual-stack": False}
