"""The stand-ins and the shared file, for the tests in this folder."""

from __future__ import annotations

from tests.own.install import stand_ins
from tests.own.shared import exported, tiny

__all__ = ["exported", "stand_ins", "tiny"]
