"""Experiments that test every promise of docs/trust.md on real servers: `make chaos`."""
