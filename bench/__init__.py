"""The benchmark: every target of speed, measured in one run on one machine. See README.md beside this."""
