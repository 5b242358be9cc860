"""Byte work that is held back (stopped) when its agent is killed must not stay for ever."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil
import pytest

from peer.politeness import NICENESS

pytestmark = pytest.mark.system

AGENT = """
import subprocess, sys, time
engine = subprocess.Popen([sys.executable, "-m", "peer.engine"], stdin=subprocess.PIPE)
print(engine.pid, flush=True)
time.sleep(600)
"""
WITHIN_S = 10


def wait_for(true) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_stopped_engine_ends_when_its_agent_is_killed():
    words = [sys.executable, "-c", AGENT]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as agent:
        engine = psutil.Process(int(agent.stdout.readline()))
        try:
            wait_for(lambda: engine.nice() >= NICENESS)  # it has begun
            engine.suspend()
            agent.kill()
            wait_for(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE)
        finally:
            agent.kill()
            if engine.is_running():
                engine.kill()
