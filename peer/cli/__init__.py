"""The command line `covey`: a thin shell around `peer.service.Service`.

    app.py         the group of verbs, the options that all have, and how errors are told
    running.py     the event loop, signals, finding the agent or being it; `serve`, `agent`
    membership.py  join, recover
    work.py        mark, unmark, marks, backup, restore, check
    looking.py     status, friends, snapshots, space, ls, find
    history.py     keep, confirm, forget
    nights.py      nights, pause, activity
    asking.py      passwords, sizes and words, from options, files and people
    progress.py    the events of long work, on a terminal, in a log, or as JSON
    output.py      numbers, times, tables and names of others as safe text

Exit codes: 0 only when what was asked is true, 1 when it is not, 2 when it was not understood.
"""

from peer.cli.app import main

__all__ = ["main"]
