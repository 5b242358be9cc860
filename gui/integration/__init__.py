"""Covey in the file managers, the menu of programs and the login: what is installed for one person.

plan         the words all of it is said in: places, commands, pieces (files)      (pure)
quoting      one command line in the quoting of each format                        (pure)
thunar, nemo, scripts, nautilus, dolphin, pcmanfm                                  (pure)
desktop      the entry in the menu of programs, `covey:` links, icon and emblem    (pure)
autostart    the agent from login on: XDG, systemd                                 (pure)
macos, windows   the same for systems on which nobody has tried it yet             (pure)
catalogue    which of these a system gets                                          (pure)
install      writes and removes pieces
here         the parts for this computer, also when a person joins
"""
