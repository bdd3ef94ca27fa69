"""Connections in use: the pool, the dedicated connection of the writer, the circuit breaker, admission of expensive
queries, the clock of the database.

May import `store.connection` and `store.schema`. Start reading at `database.py`.
"""
