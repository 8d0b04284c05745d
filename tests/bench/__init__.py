"""Benchmarks: run by hand on a quiet machine, each `python -m tests.bench.NAME`; no test times anything."""
