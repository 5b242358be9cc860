"""Backup read backwards: friends -> shares -> packs -> chunks -> files.

messages  what the agent and the engine say to each other
fetch     the agent's part: shares of a pack from friends, verified, into the scratch folder
packs     the engine's part: packs joined and kept while they are needed
run       the engine's part: walk a snapshot and write files
rebuild   a lost computer anew: root record, index packs, catalog
browse    look into snapshots without writing anything
"""
