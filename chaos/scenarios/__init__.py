"""One module a promise. Each has `prove(scale, directory)`."""
