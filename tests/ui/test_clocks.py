"""The server's own timings beside those of llmtui, in the details."""

from __future__ import annotations

import msgspec

from llmtui.ui.views.details import SILENT, clock_lines
from tests.ui import canned_run as canned
from tests.ui.lines import text_of


def test_server_and_client_times_are_side_by_side_and_add_up() -> None:
    iteration = canned.iteration(
        "llama.cpp", 7, latency_s=1.25, ttft_s=0.3, server_load_s=0.01, server_prefill_s=0.25, server_decode_s=0.9
    )
    rows = [line.split() for line in text_of(clock_lines(iteration, 70)).split("\n")]
    assert rows[0] == ["server", "s", "here", "s", "other", "s"]
    assert rows[1] == ["load", "0.0100"]
    assert rows[2] == ["prefill", "0.2500", "0.300", "0.0400", "TTFT"]
    assert rows[3][:4] == ["decode", "0.9000", "0.950", "0.0500"]
    assert rows[4] == ["total", "1.1600", "1.250", "0.0900", "latency"]
    quick = canned.iteration(
        "llama.cpp",
        7,
        latency_s=0.0125,
        ttft_s=0.003,
        server_load_s=None,
        server_prefill_s=0.0025,
        server_decode_s=0.009,
    )
    rows = [line.split() for line in text_of(clock_lines(quick, 70)).split("\n")]
    assert rows[0] == ["server", "ms", "here", "ms", "other", "ms"] and rows[1][:4] == [
        "prefill",
        "2.50",
        "3.00",
        "0.500",
    ]
    silent = canned.iteration("llama.cpp", 7, latency_s=1.25, ttft_s=0.3, server_prefill_s=None, server_decode_s=None)
    said = text_of(clock_lines(silent, 70))
    assert SILENT in said
    assert "server " not in said.replace(SILENT, "")
    half = text_of(clock_lines(msgspec.structs.replace(iteration, server_decode_s=None), 70)).split("\n")
    assert half[3].split()[:2] == ["decode", "0.950"]
    assert half[4].split()[:2] == ["total", "1.250"]
    assert clock_lines(canned.iteration("llama.cpp", 7, latency_s=None), 70) == []
