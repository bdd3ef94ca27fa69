"""The wire: parameters in, responses out. Nothing else knows HTTP status numbers."""
