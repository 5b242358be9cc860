"""Backup read backwards: friends -> shares -> packs -> chunks -> files.

messages  what the agent and the engine say to each other
fetch     the agent's part: packs and ranges of them from friends, into the scratch folder
racing    whom to ask for which share, and when somebody else as well (speed: how fast each is)
receiving a share or blocks of one, believed by its name only (ranges: which blocks, room: memory)
whereabouts  who has which share
job       the agent's part of one restore
run       the engine's part: walks a snapshot (walk), decides and tells (report)
chunks    metadata by id, out of packs: asked for, and kept while they are needed (packs)
window    files in the order in which packs hold them; which must be written at all (missing)
plan      what to fetch of which pack, and which files to write together
pool      the workers that open chunks and write files (worker, scratch), in batches
trial     a restore that is only tried
rebuild   a lost computer anew: root record, index packs, catalog (recover)
browse    look into snapshots without writing anything (metadata: chunks asked for together)
"""
