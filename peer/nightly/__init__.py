"""Nights that come by themselves.

schedule.py  when a night is due, also when one was missed or failed (pure)
manners.py   whether the person is busy, and how much a night may take then (pure)
journal.py   what happened: nights, messages, traffic; one bounded file
words.py     what a person is told about, once, and in which words (pure)
sampling.py  processor, disk, network and battery, as psutil tells
metered.py   whether the network is paid by the byte, as NetworkManager tells
traffic.py   what the links carried
notify.py    a sentence on the desktop
throttle.py  holds the byte work's processes back, and lets them go again
keeper.py    puts it together: one task of the agent
real.py      the same in the real world
"""
