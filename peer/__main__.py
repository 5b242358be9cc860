"""`python -m peer` is `covey`."""

from peer.cli import main

main()
