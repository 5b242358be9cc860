from __future__ import annotations

import io
import signal
import subprocess
import sys

import pytest

from peer import service
from peer.cli import asking, doctor, looking, output, progress
from tests.support.fake_service import FakeService
from tests.support.terminal import STRONG


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("10GB", 10**10),
        ("500MB", 5 * 10**8),
        ("1TiB", 2**40),
        ("1.5 tb", 15 * 10**11),
        ("1,5G", 15 * 10**8),
        (" 7 kib ", 7168),
        ("3B", 3),
    ],
)
def test_a_size_is_read_as_people_write_it(text: str, size: int):
    assert asking.parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10", "10GB"),
        ("-5GB", "more than nothing"),
        ("0GB", "more than nothing"),
        ("lots", "is not a size"),
        ("", "is not a size"),
        ("10 apples", "not a unit"),
        ("1e9GB", "is not a size"),
        ("nan GB", "is not a size"),
    ],
)
def test_a_size_that_is_none_is_explained(text: str, said: str):
    with pytest.raises(ValueError, match=said):
        asking.parse_size(text)


def test_sizes_and_times_are_short():
    assert [output.size(n) for n in (0, 999, 1000, 99_949, 999_499, 999_999, 10**21)] == [
        "0 B", "999 B", "1.0 kB", "99.9 kB", "999 kB", "1.0 MB", "1000 EB",
    ]  # fmt: skip
    assert [output.duration(s) for s in (0.2, 59, 90, 5400, 200_000)] == [
        "0 s", "59 s", "2 min", "1.5 h", "2 days",
    ]  # fmt: skip


def test_a_password_that_is_hard_to_guess_passes():
    assert asking.weakness(STRONG, known=["smiths"]) is None
    assert asking.weakness("x" * 500, known=[]) is not None
    assert asking.weakness("smithssmiths", known=["smiths"]) is not None


def test_the_headline_says_what_is_known():
    event = service.progress("scan", files=1, bytes_done=10)
    assert progress.headline(event) == "Reading: 1 file · 10 B"
    assert progress.friends_line(event) == ""
    event = service.progress("check", files=3, files_total=10, bytes_done=10)
    assert progress.headline(event) == "Checking: 3 of 10 parts · 10 B"
    event = FakeService().events[1]
    assert progress.headline(event) == (
        "Sending: 3 of 3 files · 1.0 MB of 3.0 MB · 500 kB to friends · 1.0 MB/s · 2 s left"
    )
    assert progress.friends_line(event) == "Shares: bob 2 · cy\\x1b 1"
    for names, said in [
        ([], "Waiting for friends: 0 files · 0 B"),
        (["bea", "c\x1b"], "Waiting for bea or c\\x1b: 0 files · 0 B"),
        (["ann", "bea", "carl"], "Waiting for any of ann, bea, carl: 0 files · 0 B"),
        (list("abcdef"), "Waiting for any of a, b, c, d, …: 0 files · 0 B"),
    ]:
        assert progress.headline(service.progress("wait", waiting_for=names)) == said


def test_the_live_picture_reads_no_markup_in_names(capsys: pytest.CaptureFixture[str]):
    from rich.console import Console

    event = service.progress("ship", bytes_total=10, friends={"[red]bob[/]": 1})
    console = Console(width=80, force_terminal=False)
    console.print(progress.picture(event))
    assert "[red]bob[/] 1" in capsys.readouterr().out
    with progress.Terminal(Console(file=io.StringIO())) as display:
        display.show(event, now=0.0)


def test_a_status_without_a_backup_says_so():
    assert "none yet" in looking.status_text(
        {
            "group": "g", "member": "n", "server": "s", "connected": False, "sentence": "Nothing.",
            "warnings": [], "friends": 0, "friends_online": 0, "marks": [], "last_snapshot": None,
            "doing": "", "links": [], "drill": None, "room": "", "care": None,
        }
    )  # fmt: skip


async def test_the_status_tells_of_each_link_how_it_goes_and_why_there_is_none():
    lines = looking.status_text(await FakeService().status()).splitlines()[-2:]
    assert lines == [
        "Link to bob: relayed by aiortc, round trip 4 ms, 2.5 MB/s now; 1.0 kB out, 20 B in",
        "Link to cy: none; the last attempt failed 2 minutes ago: the friend did not answer the "
        "call",
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_work_cleanly(number: signal.Signals):
    program = """
import asyncio
from peer.cli import running

async def work():
    try:
        print("working", flush=True)
        await asyncio.sleep(600)
    finally:
        await asyncio.sleep(0)
        print("tidied up", flush=True)

try:
    running.run(work())
except running.ToldToEnd:
    print("told to end", flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(number)
        assert process.stdout.read() == "tidied up\ntold to end\n"
    assert process.returncode == 0


def test_a_finding_is_told_with_its_advice_below_it():
    event = {
        "event": "finding",
        "about": "Clock",
        "level": "problem",
        "text": "It is 2 hours behind the server's.",
        "advice": "Set it.",
    }
    assert doctor.finding_text(event).splitlines() == [
        "X PROBLEM  Clock:    It is 2 hours behind the server's.",
        "                     -> Set it.",
    ]
