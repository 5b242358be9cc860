"""The pages' server: what the browser on this computer, and nobody else, may see and ask.

    door.py     one-time keys and sessions
    guard.py    who is let in, and the headers of every answer
    jobs.py     long work that goes on when its page closes
    live.py     what is told without being asked: the state, and the events of jobs
    desk.py     what pages ask beyond the member's own service: joining, folders, the sheet
    sheet.py    the recovery sheet as PDF, its words as a picture to scan
    folders.py  suggestions with their sizes, and folders to choose from
    chooser.py  the desktop's own dialog for a folder
    server.py   addresses, files, and the whole put together

It runs inside the agent (gui/agent.py) on a free port of 127.0.0.1. docs/app.md tells the rest.
"""
