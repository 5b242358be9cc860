"""How a member finds its group's server, and stays with it.

Reading order: order (pure: where to look, in which order), wellknown (a domain's page), mdns (the
local network), lan (pure: follow another's server, or run one here), embedded (the server that this
member runs itself), servers (what a Rendezvous is given: the address to try now). While the group's
server is away: beacon (pure: how members of a group know each other's announcements), spare (where
to be until it answers). For the doctor: reach. Ports that the router opens: natpmp, upnp, routers.
"""
