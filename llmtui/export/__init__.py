"""Results as CSV, JSON, Markdown and plain-text tables."""

from __future__ import annotations
