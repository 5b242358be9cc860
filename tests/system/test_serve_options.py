"""`covey serve` as an operator calls it, wrongly."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench.group import covey

pytestmark = pytest.mark.system


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--metrics", "here"], "give a port"),
        (["--metrics", "70000"], "give a port"),
        (["--proxy", "example.org"], "no address and no network"),
        (["--log", "xml"], "json"),
        (["--store", "http://user:secret@host"], "no URL of a Redis"),
    ],
)
def test_an_option_that_makes_no_sense_is_said_in_words(
    options: list[str], words: str, tmp_path: Path
):
    data = ["--data", str(tmp_path)]
    result = subprocess.run(
        covey("serve", *data, *options), capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert "secret" not in result.stderr + result.stdout
