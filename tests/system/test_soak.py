"""Links under load that are cut and renewed, for as long as CI has: see bench/soak.py."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.quiet]


def test_links_that_are_cut_all_the_time_are_renewed_and_leave_nothing_behind():
    command = [sys.executable, "-m", "bench.soak", "--seconds", "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["shares"] > 20
    assert found["closed"] > 2
