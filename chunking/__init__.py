"""From the bytes of files to shares for friends, and back. Pure: nothing here reads a clock,
a file, a socket or a source of chance; keys, nonces and times are arguments.

Read in this order: `formats` (every persisted layout, with its limits), `keys`, `chunker`
(bytes to chunks), `seal` (chunks to sealed chunks), `pack` (sealed chunks to packs), `erasure`
and `merkle` and `share` (packs to shares that prove themselves), then what describes it all:
`tree` (directories and snapshots), `index` (what is in which pack) and `root` (the one record
from which everything else is found). `envelope` is what signed records have in common; `statement`
and `duty` are the others.

Whatever a reader here is given, it answers with a value or with `formats.FormatError`.
"""
