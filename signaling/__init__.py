"""The small server that introduces members to each other and never sees content.

Reading order: messages (what goes over the wire; the only file that others import), config (what
a server can be told), notices (what it tells its store and hears from other instances), rooms (pure
state: who is there, who may say what to whom), limits (how much of it), turn (relays, for whom),
wellknown (where a domain's server is), stores (what survives a restart, and what several instances
share), connection (the bounded way out to one client), server (aiohttp: sockets in, messages out;
decides nothing).
"""
