"""Summaries of iterations: pure functions, no I/O, no screens or sockets."""

from __future__ import annotations
