"""Converts results in files of other programs into lines of a backup, which `store.transfer` stores.

May import `results`, `store.transfer.archive` and what is below them. Start reading at `checking.py`: it reads entries
(`entries.py`), converts each into a line (`lines.py`) and sorts the lines (`sorting.py`).
"""
