"""The window and the file-manager integration. It talks to peer only through its local API."""
