"""The verb `covey sim`: studies of how a group lives, and the NAT lab.

The folders below are imported when their verb is called: they bring large libraries.
"""

from __future__ import annotations

import click


@click.group()
def sim() -> None:
    """Simulate groups, or try real networks in a lab."""
