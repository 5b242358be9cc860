"""What keeps backups alive between nights: who gets what, and who still has it.

placement  k and n, and a holder for every share (pure)
reconcile  what friends hold against what the catalog expects
retention  which snapshots stay (pure)
sweep      which chunks they need, and what that means for each pack (pure)
compaction which packs to write anew (pure)
history    the snapshots as a person sees and changes them
audit      blocks of a share, asked of its holder and judged by its name
standing   how safe each pack is, and which are lost for good (pure)
selfcheck  this computer's own catalog
verify     packs read back to the chunks
findings   what a check found, in words (pure)
check      `covey check`, which puts these together
renew      a new catalog in the place of the old one
drill      some files really restored, and compared
statements our usage statement, and those of all others
care       what follows every night, step by step; cared keeps what came of it
"""
