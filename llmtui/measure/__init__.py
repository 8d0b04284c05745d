"""One iteration, timed: clocks, the transport with the kernel's arrival stamps, the request. Nothing here schedules."""

from __future__ import annotations
