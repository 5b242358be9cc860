"""How a member finds its group's server, and stays with it.

Reading order: order (pure: where to look, in which order), wellknown (a domain's page), mdns (the
local network), lan (pure: follow another's server, or run one here), embedded (the server that this
member runs itself), servers (what a Rendezvous is given: the address to try now).
"""
