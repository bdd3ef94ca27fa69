"""The measures of a result: the numbers whose means scores are computed from. One list for SQL and NumPy."""

MEASURES = ("success_rate", "seg_duration", "round_trip_time")
"""Column names in the views `results` and `scored_results`, where they are doubles, and in the table `rollup_sums`, where
they are sums by group. Order of the rows of every array of shape (measures, ...). Times are in seconds."""
