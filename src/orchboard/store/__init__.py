"""Everything that knows Postgres."""
