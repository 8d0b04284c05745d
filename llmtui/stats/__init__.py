"""Summaries of iterations: pure functions, no I/O, no knowledge of screens or sockets."""

from __future__ import annotations
