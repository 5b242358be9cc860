"""The NAT lab: homes behind real NATs on one computer, and real members in them.

    line.py     what a bad line does to packets: delay, jitter, loss, reordering (pure)
    wire.py     a cable with such a line in it, a process of its own
    homes.py    the kinds of homes, their routers' rules, and which pairs meet directly (pure)
    spaces.py   network namespaces and the processes in them, all ended with the lab
    network.py  the public segment and the homes, put together
    public.py   what runs in the public segment: `covey serve` and coturn
    certificates.py   a test CA, for TURN over TLS
    probe.py    classifies a NAT from within, so that the lab is what it says
    caller.py   a member that calls another one and sends it a share
    matrix.py   every pair of homes: how they met, how fast, and whether it is as it should be

Needs root, Linux, iproute2, nftables and coturn. docs/lab.md tells how to use it.
"""
