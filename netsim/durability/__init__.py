"""How likely a group keeps its members' backups over years: a statistical model.

    churn.py     when members are there, hour by hour: published fits, daily habits, outages
    traces.py    the same from a file that somebody measured
    people.py    who leaves for good and who comes instead; what a group's days look like
    policies.py  how many shares there are: three replicas, fixed 3-of-10, and ours
    model.py     shares from day to day: lost, missed, repaired, coded anew
    restore.py   how long a restore takes at some moment
    study.py     policies x churn x sizes, with confidence intervals, as rows of a CSV
    pictures.py  the rows as PNG

It models what the real code does in a few rules that docs/redundancy.md states, so that thousands
of groups over years take minutes. Everything comes from one seed. Needs the extra `covey[study]`.
"""
