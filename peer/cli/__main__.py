"""`python -m peer.cli` is `covey`, for where the distribution is not installed."""

from peer.cli import main

main()
