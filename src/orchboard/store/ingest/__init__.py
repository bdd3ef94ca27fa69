"""Results into the database: a queue, batched inserts, spilling into the spool, and its replay.

May import `store.spool`, `store.directories` and below. Start reading at `batch_writer.py`.
"""
