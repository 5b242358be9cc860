"""A night: scan -> chunk -> seal -> pack -> erasure -> place -> ship -> record.

messages  what the agent, the engine and its workers say to each other
taking_part  which friends take part tonight               (agent)
tonight   how much is new, and what waits for room         (engine)
scan      walk the marks, put the tree together            (engine)
tagged    marks that came by a file manager's tag          (agent)
worker    read files, cut, seal, pack                      (worker processes)
packer    packs and their spool files                      (engine and workers)
run       one night's byte work, from marks to packs       (engine)
ship      shares from the spool to friends                 (agent)
telling   what a person is told of it                      (agent)
night     the whole night, from survey to root record      (agent)
"""
