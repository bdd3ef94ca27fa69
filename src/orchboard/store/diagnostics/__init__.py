"""The checks of `orchboard doctor` on a database, and their findings as sentences for an operator.

May import every other package of `store`. Start reading at `diagnose.py`, which lists the checks.
"""
