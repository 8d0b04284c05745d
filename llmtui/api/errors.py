"""The one error of the public interface."""

from __future__ import annotations


class ReadError(Exception):
    """A run cannot be read. The message is a sentence: what is wrong, and what to do."""
