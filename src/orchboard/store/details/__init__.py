"""Details of results in any time window, for history and analysis: sums, moments, exact round trips and errors of each series.

A series is one orchestrator, region, job type, pipeline, model and tester. May import `store.rollups` and below. Start reading at
`reader.py`; `sums.py` has the type that everything is added up in.
"""
