"""A board whose results are distributed over the nodes of a Citus cluster; docs/citus.md, docs/decisions/0024-citus.md.

Everything that differs there from one server is in this room. May import `store.postgres` and below. Start reading at
`distribution.py`.
"""
