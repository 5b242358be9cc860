"""Byte work yields to the person."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from peer.politeness import NICENESS

ASK = """
import psutil, subprocess, sys
from peer.politeness import yield_to_the_person
yield_to_the_person()
yield_to_the_person()
child = [sys.executable, "-c", "import psutil; print(psutil.Process().nice())"]
print(psutil.Process().nice(), subprocess.check_output(child, text=True))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="niceness is POSIX; Windows has classes")
def test_the_engine_and_its_children_are_nicer_than_the_agent():
    output = subprocess.check_output([sys.executable, "-c", ASK], text=True)
    expected = max(NICENESS, psutil.Process().nice())
    assert output.split() == [str(expected)] * 2
