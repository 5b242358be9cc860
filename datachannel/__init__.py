"""Moving shares between two members: authenticated, flow-controlled, resumable.

Read in this order: errors.py and messages.py (what is said, and what can go wrong), requests.py
(the calls), session.py (many streams on one link, without any input or output), link.py (what a
link is, and the pump). Then how members come together: joining.py, server_socket.py, rendezvous.py,
roster.py, relays.py and moving.py (the server, and what is believed of it), credentials.py,
signals.py and handshake.py (who is who), mesh.py (who calls whom), engines.py (which of two engines
makes the link), webrtc.py and libdatachannel.py (the engines).
"""
