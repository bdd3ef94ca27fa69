"""Results in files that other programs wrote, made into lines of a backup. Start with `checking.py`."""
