"""Proves the promises of docs/trust.md on real servers: `make chaos`.

A scenario is a module of `scenarios/` with a function `prove`. The other modules are clients, proxies and servers for them.
"""
