"""A result's JSON: parsed strictly from a tester, rendered leniently from the database, within limits of size.

May import `stats` and `errors` only. Start reading at `parse.py`.
"""
