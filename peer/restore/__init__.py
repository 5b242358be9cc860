"""Backup read backwards: friends -> shares -> packs -> chunks -> files.

messages  what the agent and the engine say to each other
fetch     the agent's part: shares of a pack from friends, verified, into the scratch folder
job       the agent's part of one restore
run       the engine's part: walks a snapshot (walk), decides and tells (report)
chunks    metadata by id, out of packs: asked for, and kept while they are needed (packs)
window    files in the order in which packs hold them; which must be written at all (missing)
plan      what to fetch of which pack, and which files to write together
pool      the workers that open chunks and write files (worker, scratch), in batches
trial     a restore that is only tried
rebuild   a lost computer anew: root record, index packs, catalog (recover)
browse    look into snapshots without writing anything
"""
