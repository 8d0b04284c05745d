"""`llmtui serve`: the monitor in a browser."""
