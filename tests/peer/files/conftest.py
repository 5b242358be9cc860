"""A folder to restore to, by descriptors and by paths."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.trees import Sandbox


@pytest.fixture(params=["by descriptor", "by path"])
def box(request, tmp_path) -> Iterator[Sandbox]:
    """A target to restore to; nothing is left open at the end."""
    sandbox = Sandbox(Path(tmp_path), by_descriptor=request.param == "by descriptor")
    yield sandbox
    sandbox.check_nothing_is_open()
