"""The rows of a study as pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from netsim.durability.study import Row

COLOURS = {"replication": "#b0643a", "fixed": "#8a8f98", "covey": "#2f6f5e"}
_GB = 10**9


def draw_durability(rows: Sequence[Row], path: Path) -> None:
    """Loss, space and time to restore over the group's size, a column for each churn."""
    _draw(
        rows,
        path,
        [
            ("lost within the time", lambda row: row.loss_probability, True),
            ("stored per byte", lambda row: row.expansion, False),
            ("hours to restore, 99 %", lambda row: row.restore_hours_p99, True),
        ],
    )


def draw_traffic(rows: Sequence[Row], path: Path) -> None:
    """Traffic and space over the group's size, a column for each churn."""
    _draw(
        rows,
        path,
        [
            ("GB a day per member", lambda row: row.traffic_bytes_per_member_day / _GB, False),
            ("stored per byte", lambda row: row.expansion, False),
        ],
    )


def _draw(
    rows: Sequence[Row], path: Path, lines: Sequence[tuple[str, Callable[[Row], float], bool]]
) -> None:
    churns = list(dict.fromkeys(row.churn for row in rows))
    figure, table = plt.subplots(
        len(lines),
        len(churns),
        figsize=(2.6 * len(churns) + 1, 2.2 * len(lines) + 0.6),
        squeeze=False,
        sharex=True,
        sharey="row",
        layout="constrained",
    )
    for column, churn in enumerate(churns):
        table[0][column].set_title(churn)
        table[-1][column].set_xlabel("members")
        for line, (label, value, is_log) in enumerate(lines):
            axes: Axes = table[line][column]
            for policy, colour in COLOURS.items():
                chosen = [row for row in rows if (row.churn, row.policy) == (churn, policy)]
                chosen.sort(key=lambda row: row.members)
                if chosen:
                    sizes = [row.members for row in chosen]
                    values = [value(row) for row in chosen]
                    axes.plot(sizes, values, "o-", color=colour, label=policy, markersize=3)
            if is_log:
                axes.set_yscale("symlog", linthresh=1e-3 if "lost" in label else 1)
            axes.grid(alpha=0.25)
            if column == 0:
                axes.set_ylabel(label)
    table[0][0].legend(fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)
