"""What this member keeps for its friends: shares and root records, within its offer.

observed   time that has really passed, for everything that expires
layout     where a share lies in the folder
store      the shares on disk: durable, within the limit, one owner apart from the other
requests   answers friends' requests from the store
"""
