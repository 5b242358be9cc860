"""The verb `covey sim`: studies of how a group lives, real members in simulated time, the NAT lab.

The folders below are imported when their verb is called: they bring large libraries.
"""

from __future__ import annotations

import click

from netsim.verbs_lab import lab
from netsim.verbs_study import durability, traffic
from netsim.verbs_world import world


@click.group()
def sim() -> None:
    """Simulate groups, or try real networks in a lab."""


sim.add_command(durability)
sim.add_command(traffic)
sim.add_command(world)
sim.add_command(lab)
