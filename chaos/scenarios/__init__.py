"""The scenarios, one module per promise, each with a function `prove(scale, directory)`."""
