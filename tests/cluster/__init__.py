"""Tests of the loops and of the worker process."""
