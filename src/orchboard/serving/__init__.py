"""Server processes: the listening socket, workers and their supervisor, signals, and the service manager.

May import `orchboard.app` and `http.server`. Start reading at `supervisor.py` and `worker.py` for several workers;
`cli/run_server.py` puts the parts together, and decision 11 (docs/decisions/0011-restarts.md) explains restarts.
"""
