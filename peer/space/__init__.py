"""Fair space: who takes how much from whom, what that entitles to, and whether tonight fits.

Reading order: ledger.py (pure: what everybody takes, has shown and may take), book.py (the newest
usage statement of each member, on disk), fairness.py (what a holder refuses), fitting.py (pure:
how much more fits), telling.py and facts.py (all of it in sentences, for people).
`peer/upkeep/statements.py` has the statements go round.
"""
