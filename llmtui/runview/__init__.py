"""What a client knows of a run: the engine's events folded into one object."""
