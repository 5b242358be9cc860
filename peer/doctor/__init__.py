"""`covey doctor`: what is wrong with this computer's network, disk and clock, and what to do.

Reading order: findings (what it says, pure), verdicts (from what was measured to what is said,
pure), paths (the same for the ways to friends), probes (small measurements of the disk and of the
server), examine (asks all of it in turn, and tells).
"""
