"""Faults provoked with real sockets and processes: what the user sees of each, and what is kept."""
