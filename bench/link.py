"""`make bench-link`: MB/s and CPU of one link, beside what it is built of and beside TCP with TLS.

Each engine is measured between two processes, at several round trips and losses, the engines in
turn, medians of several runs. Without delay and loss they meet on this computer's own addresses;
else on a wire of ours between two network namespaces (wire.py), which takes CPU of its own: the
rows with a wire are for comparing engines, not for knowing what a line of that kind would give.
Without root there is no wire, and only the first row is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

from bench import wire
from bench.link_ends import KINDS, WARM_UP_S

SECONDS = 1.2  # after a second of warm-up; all of it is to take less than ten minutes
START_S_MAX = 20.0
SHARING_S = 15.0  # two congestion windows take a while to agree
STOCK = "stock aiortc"
LOOPBACK_ONLY = ("stock aiortc, uvloop",)  # where the loop is what counts
SHARED_MBIT_PER_S, SHARED_RTT_MS = 20, 40
SHARING = (
    (STOCK, STOCK),
    ("covey aiortc", "covey aiortc"),
    ("covey aiortc", STOCK),
    ("covey libdatachannel", STOCK),
    ("covey aiortc", "covey libdatachannel"),
)
END = (sys.executable, "-m", "bench.link_ends")
TOGETHER = (1, 2, 4)  # connections of one pair of friends at the same time
TOGETHER_LINES = ((50, 0.1), (50, 1.0), (100, 0.1), (100, 1.0))
TOGETHER_S = 10.0  # slow start is over, and losses have come many times
RTTS_MS = (0, 20, 50, 100)
LOSSES_PERCENT = (0.0, 0.1, 1.0)


class Row(NamedTuple):
    """One engine on one line: medians."""

    engine: str
    rtt_ms: int
    loss: float
    mb_per_s: float
    cpu_s_per_gb: float
    longest_gap_s: float


def measure(
    engine: str, rtt_ms: int, loss: float, *, runs: int, seconds: float = SECONDS
) -> Row | None:
    """The medians of so many runs; None when no run came to an end."""
    found: list[tuple[float, float, float]] = []
    for _ in range(runs):
        with contextlib.suppress(TimeoutError):
            found.append(once(engine, seconds, on_wire=bool(rtt_ms or loss)))
    if not found:
        return None
    rate, cpu, _ = (statistics.median(one) for one in zip(*found, strict=True))
    return Row(engine, rtt_ms, loss, rate, cpu, max(one[2] for one in found))


def once(engine: str, seconds: float, *, on_wire: bool) -> tuple[float, float, float]:
    """MB/s, CPU seconds per GB of both ends, and the longest silence. Raises TimeoutError."""
    with contextlib.ExitStack() as stack:
        sent, received = (_result(end) for end in _begin(stack, engine, seconds, on_wire=on_wire))
    rate = received["mb_per_s"]
    if not rate:
        raise TimeoutError
    return rate, (sent["cpu_share"] + received["cpu_share"]) / rate * 1e3, received["longest_gap_s"]


def shared(one: str, other: str, seconds: float) -> tuple[float, float]:
    """MB/s of two links at the same time on the wire that is laid. Raises TimeoutError."""
    with contextlib.ExitStack() as stack:
        ends = [_begin(stack, engine, seconds, on_wire=True) for engine in (one, other)]
        rates = [_result(receiver)["mb_per_s"] for _, receiver in ends]
    return rates[0], rates[1]


def together(engine: str, count: int, seconds: float) -> float:
    """MB/s of so many links at the same time on the wire that is laid. Raises TimeoutError."""
    with contextlib.ExitStack() as stack:
        ends = [_begin(stack, engine, seconds, on_wire=True) for _ in range(count)]
        return sum(_result(receiver)["mb_per_s"] for _, receiver in ends)


def together_table(runs: int) -> list[str]:
    """What several connections to one friend give on lines with losses: medians."""
    heads = "".join(f" {count} |" for count in TOGETHER)
    lines = [f"| RTT | loss | MB/s with so many connections |{heads}", "|---|---|---|" + "---|" * 3]
    for rtt_ms, loss in TOGETHER_LINES:
        for engine in ("covey libdatachannel", "covey aiortc"):
            with wire.laid(rtt_ms, loss):
                rates = [
                    statistics.median(together(engine, count, TOGETHER_S) for _ in range(runs))
                    for count in TOGETHER
                ]
            found = "".join(f" {rate:.2f} |" for rate in rates)
            lines.append(f"| {rtt_ms} ms | {loss:g} % | {engine} |{found}")
            print(lines[-1], file=sys.stderr, flush=True)
    return lines


def _begin(
    stack: contextlib.ExitStack, engine: str, seconds: float, *, on_wire: bool
) -> list[subprocess.Popen[str]]:
    """Start the sender and the receiver, and let them know of each other. The stack ends them."""
    sides = (
        ("send", wire.NEAR, wire.NEAR_ADDRESS if on_wire else "127.0.0.1"),
        ("receive", wire.FAR, wire.FAR_ADDRESS if on_wire else "127.0.0.1"),
    )
    ends = []
    for part, namespace, address in sides:
        inside = ["ip", "netns", "exec", namespace] if on_wire else []
        end = subprocess.Popen(
            [*inside, *END, engine, part, address, str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        ends.append(end)
        stack.callback(_end, end)
        timer = threading.Timer(START_S_MAX + WARM_UP_S + seconds, end.kill)
        timer.start()
        stack.callback(timer.cancel)
    for speaker, listener in (ends, ends[::-1]) if engine != "TCP with TLS" else (ends[::-1],):
        assert speaker.stdout is not None
        assert listener.stdin is not None
        listener.stdin.write(speaker.stdout.readline())
        listener.stdin.flush()
    return ends


def _result(end: subprocess.Popen[str]) -> dict[str, float]:
    """What an end has measured. Raises TimeoutError when it was killed before."""
    assert end.stderr is not None
    said = ""
    while line := end.stderr.readline():
        if line.startswith("{"):
            found: dict[str, float] = json.loads(line)
            return found
        said += line
    raise TimeoutError(said)


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def table(rows: list[Row]) -> list[str]:
    """Markdown: a line for each engine on each kind of line, with its ratio to stock aiortc."""
    lines = ["| RTT | loss | | MB/s | : stock | CPU s/GB |", "|---|---|---|---|---|---|"]
    stock = {(row.rtt_ms, row.loss): row.mb_per_s for row in rows if row.engine == STOCK}
    for row in rows:
        before = stock.get((row.rtt_ms, row.loss))
        ratio = f"{row.mb_per_s / before:.2f}" if before else ""
        lines.append(
            f"| {row.rtt_ms} ms | {row.loss:g} % | {row.engine} | {row.mb_per_s:.1f} | {ratio} | "
            f"{row.cpu_s_per_gb:.1f} |"
        )
    return lines


def sharing_table(seconds: float) -> list[str]:
    """How two links share a slow line: a fair one gives half to each."""
    lines = [
        f"| on {SHARED_MBIT_PER_S} Mbit/s with {SHARED_RTT_MS} ms | MB/s | beside it | MB/s |",
        "|---|---|---|---|",
    ]
    for one, other in SHARING:
        with wire.laid(SHARED_RTT_MS, 0.0, SHARED_MBIT_PER_S):
            first, second = shared(one, other, seconds)
        lines.append(f"| {one} | {first:.2f} | {other} | {second:.2f} |")
    return lines


def measure_all(
    engines: list[str],
    rtts_ms: list[int],
    losses: list[float],
    *,
    runs: int,
    seconds: float,
    say: Callable[[Row], None],
) -> Iterator[Row]:
    """Every engine on every line, as they come."""
    for rtt_ms in rtts_ms:
        for loss in losses:
            needs_wire = bool(rtt_ms or loss)
            if needs_wire and not wire.is_possible():
                continue
            with wire.laid(rtt_ms, loss) if needs_wire else contextlib.nullcontext():
                for engine in engines:
                    if needs_wire and engine in LOOPBACK_ONLY:
                        continue
                    row = measure(engine, rtt_ms, loss, runs=runs, seconds=seconds)
                    if row is not None:
                        say(row)
                        yield row


def main() -> None:
    """Measure, and print a table or lines of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="lines of JSON as they are measured")
    parser.add_argument("--sharing", action="store_true", help="only how two links share a line")
    parser.add_argument("--together", action="store_true", help="only several links at once")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--engine", action="append", choices=list(KINDS), help="only this one")
    parser.add_argument("--rtt", action="append", type=int, help="only this round trip, in ms")
    parser.add_argument("--loss", action="append", type=float, help="only this loss, in percent")
    chosen = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("stopped"))  # end all ends and the wire too
    if chosen.sharing:
        print("\n".join(sharing_table(max(chosen.seconds, SHARING_S))))
        return
    if chosen.together:
        print("\n".join(together_table(chosen.runs)))
        return

    def say(row: Row) -> None:
        if chosen.json:
            print(json.dumps(row._asdict()), flush=True)
        else:
            print(f"{row.rtt_ms} ms, {row.loss:g} %, {row.engine}", file=sys.stderr, flush=True)

    rows = list(
        measure_all(
            chosen.engine or list(KINDS),
            chosen.rtt or list(RTTS_MS),
            chosen.loss if chosen.loss is not None else list(LOSSES_PERCENT),
            runs=chosen.runs,
            seconds=chosen.seconds,
            say=say,
        )
    )
    if not chosen.json:
        print("\n".join(table(rows)))
    if not wire.is_possible():
        print("Without root there is no wire: only loopback was measured.", file=sys.stderr)


if __name__ == "__main__":
    main()
