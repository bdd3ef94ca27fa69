"""How a connection to Postgres is opened: the URL, service and password files, TLS, keepalives, failover between hosts, and
Postgres errors in plain words.

May import nothing of `store`. Start reading at `conninfo.py`.
"""
