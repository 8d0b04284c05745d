"""One timed request: clocks, a transport with the kernel's arrival timestamps, and the figures of an answer."""

from __future__ import annotations
