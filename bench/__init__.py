"""The benchmark: measures every speed target in one run on one machine. See README.md in this directory."""
