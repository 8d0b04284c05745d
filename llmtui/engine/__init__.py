"""The engine: one process per run that measures, and what its clients need to follow and steer it."""

from __future__ import annotations
