"""Everything that uses PostgreSQL, and the only place for SQL.

`store.py` has a method per query of the leaderboard. Each sub-package's docstring says what it is for. Imports between
them go down the layers in pyproject.toml. SQL files are in the `sql/` directory of the package that runs them, or in
`store/sql/` if several packages or modules outside the sub-packages do.
"""
