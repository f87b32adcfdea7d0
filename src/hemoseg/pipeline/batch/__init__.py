"""Many scans in one command: which they are, what became of each, and how they are worked through.

`sources` finds the scans, `record` remembers what is done, `stream` and `spread` do it, `summary` tells it.
"""
