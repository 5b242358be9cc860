"""The window, and what is done where there can be none.

opening.py  find the agent or start it, and get an address that lets in once
window.py   the pages in a window of their own, by pywebview
"""
