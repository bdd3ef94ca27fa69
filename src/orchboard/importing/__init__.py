"""Converts results in files of other programs into lines of a backup. Start reading with `checking.py`."""
