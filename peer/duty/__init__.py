"""Friends act for an owner whose own computer is gone, without being able to read anything.

lease     one deputy at a time: what a holder gives, and when a deputy has enough (pure)
thin      what a deputy must do for an owner, from who has what (pure)
holder    a holder's side: duties kept, leases given, requests allowed
publish   an owner signs its duty and gives it to its friends
deputy    a deputy's side: leases, listings, shares made anew
night     both, after a night
"""
