"""One member of a group: what it backs up, what it holds for friends, and all decisions about both.

This folder holds all policy; `chunking` knows only bytes and `datachannel` only links.
Reading order:

    ports.py      the world a member lives in: clock, chance, files, worker processes
    state.py      the folder that is the whole state of one member, and its secrets
    words.py      the 24 recovery words
    files/        the real file system, read and written
    backup/       files -> chunks -> packs -> shares at friends
    restore/      the same road backwards
    holding/      the shares of others on this computer
    upkeep/       who should hold what
    nightly/      nights that come by themselves, and yield to the person
    catalog.py    what this member has stored where; always rebuildable
    node.py       the task tree that joins all of it
    service.py    what a member can be asked to do, whoever asks
    api.py        the same over a local socket, for the window and the command line
    cli/          the command line
    assembly.py   the real clock, disk and WebRTC, put together; the only module that knows them
    main.py       the composition root, as commands use it
"""

__version__ = "0.1.0"
