"""A run as a client sees it: the engine's events folded into one object."""
