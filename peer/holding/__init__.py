"""What this member keeps for its friends: shares and root records, within its offer.

observed   time that has really passed, for everything that expires
layout     where a share lies in the folder
store      the shares on disk: durable, within the limit, one owner apart from the other
reading    a range of a share with its proof; hashes of blocks are remembered
requests   answers friends' requests from the store
"""
