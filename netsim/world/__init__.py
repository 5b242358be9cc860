"""Simulated time around the real code of the members: `covey sim world`.

Nothing of a member is modelled here. Each simulated computer runs the node, the nights, the store,
the sessions and the requests that a real one runs; what is replaced is what they are handed: the
loop's clock (it jumps), the wall clock (it drifts), chance (one seed), links (queues in memory with
latency and bandwidth), the server (a list in memory), and the engine's process (a thread that runs
only while the loop stands still). Storage is real files, on a file system in memory.

    clock.py       time and chance
    engine.py      byte work while the loop stands still
    network.py     links, dialling, who is online
    disk.py        a computer's folders, and their faults
    member.py      one computer: on and off, its nights, its end
    events.py      what happens to computers and networks, drawn from the seed
    world.py       a group of them, and the course of their lives
    invariants.py  what must hold after every event
    trace.py       what happened, and its hash
"""
