"""What a person is told of errors that nobody foresaw."""

from __future__ import annotations

import errno
import os
import sqlite3

import pytest

from peer.catalog import Catalog
from peer.faults import problem_of
from peer.service import Problem


def test_a_full_disk_is_told_whoever_notices_it(tmp_path):
    noticed = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "spool"))
    problem = problem_of(noticed)
    assert problem.text == f"{tmp_path / 'spool'}: No space left on device."
    assert "Make room" in problem.next_step


def test_a_full_disk_is_told_when_the_catalog_notices_it(tmp_path):
    catalog = Catalog(tmp_path / "catalog.sqlite")
    catalog._db.execute("PRAGMA max_page_count=1")  # it takes the least that there is
    with pytest.raises(sqlite3.OperationalError) as raised:
        catalog.set_meta("large", bytes(1 << 20))
    catalog._db.execute("PRAGMA max_page_count=1000000")
    catalog.set_meta("small", b"goes on")
    assert catalog.get_meta("small") == b"goes on"
    catalog.close()
    problem = problem_of(raised.value)
    assert problem.text == "No space left on device."
    assert "Make room" in problem.next_step


def test_other_errors_of_the_system_are_told_in_its_words():
    problem = problem_of(PermissionError(errno.EACCES, "Permission denied", b"/etc/shadow"))
    assert (problem.text, problem.code) == ("/etc/shadow: Permission denied.", "system")


def test_what_is_a_problem_already_stays_as_it_is():
    problem = Problem("No.", "Never.")
    assert problem_of(problem) is problem


@pytest.mark.parametrize(
    "error", [KeyError("x"), sqlite3.OperationalError("no such table"), OSError()]
)
def test_all_else_is_our_fault_and_says_no_detail(error):
    problem = problem_of(error)
    assert problem.code == "internal"
    assert problem.text == "Covey met a fault of its own."
