"""`make bench-server`: how many members one server bears on this computer, and at what cost.

The server is `covey serve` with its usual limits. Its members are raw WebSockets in two other
processes (server_load.py), which connect from 127.0.0.0/8 and say, as a trusted proxy would, from
which address each group comes: so no limit is lifted. All runs at once, so the load shares the
processors with the server.

It measures memory and processor time against connected members, the time that relayed signals
take, and how long it takes until all are back after the server was killed, and after it was ended.
It stops by itself, after some five minutes with 20,000 members.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from bench.group import covey

MEMBERS = 20_000
GROUP_MEMBERS = 10
LOADS = 2
SOURCES = [f"127.0.0.{number}" for number in range(2, 10)]
STEPS = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Of all members: where memory and processor time are looked at."""
FILES_SPARE = 64
"""What a process needs beside its connections."""
IDLE_S = 8.0
SIGNALS_PER_S = 5_000
SIGNALS_S = 20.0

TARGETS = {"kb_per_member": 25.0, "signal_p99_ms": 50.0, "storm_s": 60.0}


class Step(NamedTuple):
    """The server with so many members."""

    members: int
    pss_mb: float
    kb_per_member: float
    join_ms: float
    """Processor time for a Join, all told."""
    idle_percent: float
    """Of one processor, while nobody says anything."""


class ServerProcess:
    """The server, which may die and come back at the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.metrics = folder, free_port(), free_port()
        self.start()

    def start(self) -> None:
        """Returns when it has told its URL."""
        options = ["--data", str(self.folder), "--proxy", "127.0.0.0/8"]
        options += ["--port", str(self.port), "--metrics", str(self.metrics)]
        with (self.folder.parent / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                covey("serve", *options), stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        if not self.process.stdout.readline().startswith("http"):
            raise RuntimeError((self.folder.parent / "server.log").read_text())
        self.seen = psutil.Process(self.process.pid)

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait until it has."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def cpu_s(self) -> float:
        """Processor time until now."""
        times = self.seen.cpu_times()
        return float(times.user + times.system)

    def pss_mb(self) -> float:
        """Memory, with its part of what it shares with others."""
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        (line,) = (line for line in rollup.splitlines() if line.startswith("Pss:"))
        return int(line.split()[1]) / 1024


class Load:
    """A process full of members."""

    def __init__(self, port: int, seed: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.server_load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.tell({"port": port, "sources": SOURCES, "seed": seed})

    def tell(self, command: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def end(self) -> None:
        self.process.kill()
        self.process.wait(20)


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def all_together(loads: list[Load], commands: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One command for each, done at the same time."""
    for load, command in zip(loads, commands, strict=True):
        load.tell(command)
    return [load.answer() for load in loads]


def grow(server: ServerProcess, loads: list[Load], members: int) -> list[Step]:
    """Connect the members step by step, and look after each."""
    time.sleep(1.0)
    empty_mb, groups, steps = server.pss_mb(), 0, list[Step]()
    for part in STEPS:
        more = int(members * part) // GROUP_MEMBERS - groups
        cpu_s = server.cpu_s()
        halves = [more // 2, more - more // 2]
        commands = [
            {"do": "connect", "first_group": groups + first, "groups": half, "size": GROUP_MEMBERS}
            for first, half in zip((0, halves[0]), halves, strict=True)
        ]
        answers = all_together(loads, commands)
        assert not any(answer["refused"] for answer in answers), answers
        groups += more
        join_ms = (server.cpu_s() - cpu_s) / (more * GROUP_MEMBERS) * 1000
        time.sleep(2.0)
        cpu_s = server.cpu_s()
        time.sleep(IDLE_S)
        idle = (server.cpu_s() - cpu_s) / IDLE_S * 100
        count, pss_mb = groups * GROUP_MEMBERS, server.pss_mb()
        step = Step(count, pss_mb, (pss_mb - empty_mb) * 1024 / count, join_ms, idle)
        print(
            f"{step.members:>8,} {step.pss_mb:>9.0f} {step.kb_per_member:>13.1f}"
            f" {step.join_ms:>9.2f} {step.idle_percent:>7.1f}",
            flush=True,
        )
        steps.append(step)
    return steps


def relay(server: ServerProcess, loads: list[Load]) -> dict[str, float]:
    """Signals of everybody to somebody else of the group, and how long they take."""
    cpu_s = server.cpu_s()
    command = {"do": "signals", "per_s": SIGNALS_PER_S / LOADS, "seconds": SIGNALS_S}
    answers = all_together(loads, [command] * LOADS)
    latencies = sorted(one for answer in answers for one in answer["latencies_ms"])
    if not latencies:
        latencies = [SIGNALS_S * 1000]
    return {
        "signals_per_s": sum(answer["sent"] for answer in answers) / SIGNALS_S,
        "signals_lost": sum(answer["sent"] for answer in answers) - len(latencies),
        "signal_p50_ms": latencies[len(latencies) // 2],
        "signal_p99_ms": latencies[len(latencies) * 99 // 100],
        "signal_max_ms": latencies[-1],
        "signal_cpu_percent": (server.cpu_s() - cpu_s) / (SIGNALS_S + 1) * 100,
    }


def storm(server: ServerProcess, loads: list[Load], how: signal.Signals) -> dict[str, Any]:
    """End the server, start it again at once, and wait until everybody is back."""
    for load in loads:
        load.tell({"do": "storm"})
    server.end(how)
    began = time.monotonic()
    server.start()
    answers = [load.answer() for load in loads]
    refused: dict[str, int] = {}
    for answer in answers:
        for reason, count in answer["refused"].items():
            refused[reason] = refused.get(reason, 0) + count
    refused.pop("restarting", None)  # the old server's goodbye
    return {
        "seconds": time.monotonic() - began,
        "refused": refused,
        "tried_again": sum(answer["retries"] for answer in answers),
        "cpu_s": server.cpu_s(),
    }


def members_possible(wanted: int) -> int:
    """As many as this system lets one process have open files for, in whole groups."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(wanted, hard - FILES_SPARE) // GROUP_MEMBERS * GROUP_MEMBERS


def main() -> int:
    """Run it all. Answers 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, prog="bench.server")
    parser.add_argument("--members", type=int, default=MEMBERS)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    arguments = parser.parse_args()
    members = members_possible(arguments.members)
    if members < arguments.members:
        print(f"This system gives one process files for {members:,} members only.\n")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and end all that was started
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="covey-bench-")))
        server = ServerProcess(folder / "data")
        stack.callback(server.end, signal.SIGKILL)
        loads = [Load(server.port, seed) for seed in range(LOADS)]
        for load in loads:
            stack.callback(load.end)
        print(f"{'members':>8} {'PSS MB':>9} {'KB a member':>13} {'ms a Join':>9} {'idle %':>7}")
        steps = grow(server, loads, members)
        signals = relay(server, loads)
        for name, value in signals.items():
            print(f"{name}: {value:,.1f}", flush=True)
        killed = storm(server, loads, signal.SIGKILL)
        print(f"killed, and all are back: {killed}", flush=True)
        ended = storm(server, loads, signal.SIGTERM)
        print(f"ended, and all are back: {ended}", flush=True)
    found = {
        "kb_per_member": steps[-1].kb_per_member,
        "signal_p99_ms": signals["signal_p99_ms"],
        "storm_s": killed["seconds"],
    }
    missed = [name for name, target in TARGETS.items() if found[name] >= target]
    missed += ["refused"] if killed["refused"] or ended["refused"] else []
    missed += ["lost"] if signals["signals_lost"] else []
    if arguments.json:
        figures = {
            "members": members,
            "processors": os.cpu_count(),
            "steps": [step._asdict() for step in steps],
            "signals": signals,
            "killed": killed,
            "ended": ended,
            "missed": missed,
        }
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"missed: {', '.join(missed)}" if missed else "All targets are met.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
