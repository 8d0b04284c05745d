"""A run as one HTML page that loads nothing: the verdict in words, tables, and charts as SVG."""

from __future__ import annotations
