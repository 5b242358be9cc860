"""Hypothesis for these tests: the same examples every time, and no stop-watch."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("covey", deadline=None, derandomize=True, database=None)
settings.load_profile("covey")
