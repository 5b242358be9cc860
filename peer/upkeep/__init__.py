"""What keeps backups alive between nights: who gets what, and who still has it.

placement  k and n, and a holder for every share (pure)
reconcile  what friends hold against what the catalog expects
"""
