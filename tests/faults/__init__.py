"""Faults provoked with real sockets and processes: what the user sees, and what is stored."""
