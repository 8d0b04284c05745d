"""The stand-ins, for the tests in this folder."""

from __future__ import annotations

from tests.own.install import stand_ins

__all__ = ["stand_ins"]
