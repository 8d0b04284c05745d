"""The engine: one process per run, which brings the backends up, measures them and stores the results."""

from __future__ import annotations
