"""How much memory a process and all below it take, pages that they share counted once (PSS)."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import psutil

SAMPLE_S = 0.1


class MemoryOf:
    """The most memory that a process and all below it had at a time, shared pages once (PSS)."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.most = 0
        self.made_of: dict[str, int] = {}
        self.samples = 0

    def __enter__(self) -> MemoryOf:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            found = [
                (_title(process), pss_bytes(process.pid))
                for process in [self._root, *self._root.children(recursive=True)]
            ]
            self.samples += 1
            total = sum(size for _, size in found)
            if total > self.most:
                self.most = total
                self.made_of = {
                    f"{title} {number}": size >> 20 for number, (title, size) in enumerate(found)
                }


def _title(process: psutil.Process) -> str:
    try:
        return next((arg for arg in process.cmdline() if arg.startswith("peer")), "?")
    except psutil.Error:
        return "ended"


def pss_bytes(pid: int) -> int:
    """Of one process; 0 when it has ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
