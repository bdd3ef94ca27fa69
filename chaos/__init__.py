"""The promises of docs/operations.md, each put to the proof on real servers: `make chaos`."""
