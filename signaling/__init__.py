"""The small server that introduces members to each other and never sees content.

Reading order: messages (what goes over the wire; the only file that others import), rooms (pure
state: who is there, who may say what to whom), limits (how much of it), store (what survives a
restart), config, server (aiohttp: sockets in, messages out; decides nothing).
"""
