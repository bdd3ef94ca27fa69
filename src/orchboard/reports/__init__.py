"""The answers of the analytics as types: what the API encodes, the command line prints and the client package decodes.

May import `stats`. One file an endpoint; every answer extends `envelope.Envelope`.
"""
