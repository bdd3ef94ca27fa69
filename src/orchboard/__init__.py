"""orchboard: the orchestrator leaderboard server of the Livepeer network."""

__version__ = "0.1.0"
