"""Experiments that test each promise of docs/trust.md on real servers: `make chaos`."""
