"""The real file system, both ways: `reader` for backups, `checkout` for restores.

Paths are absolute bytes. Everything here is synchronous and runs in worker processes.
"""
