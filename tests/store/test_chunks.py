"""Requests of a turn survive packing exactly, are small, and a damaged or crafted chunk is refused."""

from __future__ import annotations

import random
import zlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtui.model import Iteration
from llmtui.store import chunks
from llmtui.store.rows import RANGES
from tests.examples import examples
from tests.store.any_iteration import iterations_of
from tests.store.turns import BASE, requests

_SAMPLES = st.lists(iterations_of(BASE), min_size=1, max_size=5)


@pytest.mark.slow
@settings(max_examples=examples(150), deadline=None)
@given(_SAMPLES)
def test_requests_round_trip(samples: list[Iteration]) -> None:
    assert chunks.unpack(chunks.pack(samples), len(samples), BASE, RANGES) == samples


def test_a_request_of_64_tokens_takes_few_bytes() -> None:
    """Nanoseconds of a random gap are 20 bits, so 64 arrivals take at least 165 bytes, whatever packs them."""
    samples = requests(random.Random(1), 512, 64)
    without = [msgspec.structs.replace(sample, text="") for sample in samples]
    assert len(chunks.pack(without)) / 512 < 230
    assert len(chunks.pack(samples)) / 512 < 340


def test_damaged_bytes_are_refused_or_read_as_valid_values() -> None:
    """No other exception than ValueError, and nothing outside the ranges."""
    chance = random.Random(2)
    whole = zlib.decompress(chunks.pack(requests(chance, 8, 6)))
    refused = 0
    for _ in range(3_000):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.2:
            del data[chance.randrange(len(data)) :]
        try:
            samples = chunks.unpack(zlib.compress(bytes(data)), 8, BASE, RANGES)
        except ValueError:
            refused += 1
            continue
        assert len(samples) == 8
        for sample in samples:
            for name, (least, most) in RANGES.items():
                assert (value := getattr(sample, name)) is None or least <= value <= most
            assert sample.arrivals_ns == sorted(sample.arrivals_ns)
    assert refused > 1_000


@pytest.mark.parametrize(
    "made",
    [
        b"",
        b"no zlib",
        zlib.compress(b""),
        zlib.compress(b"\xc1"),
        zlib.compress(msgspec.msgpack.encode({"count": 2, "same": {"run": "else"}})),
        zlib.compress(msgspec.msgpack.encode({"count": 2, "each": {"text": ["only one"]}})),
        zlib.compress(msgspec.msgpack.encode({"count": 2, "each": {"text": [1, 2]}})),
        zlib.compress(msgspec.msgpack.encode({"count": 2, "same": {"latency_s": float("nan")}})),
        zlib.compress(msgspec.msgpack.encode({"count": 2, "nanos": {"text": bytes(16)}})),
        zlib.compress(msgspec.msgpack.encode({"count": 2, "wholes": {"swapped": b"\xff" * 16}})),
        zlib.compress(msgspec.msgpack.encode({"count": 2, "counts": b"\x7f" * 16})),
        zlib.compress(msgspec.msgpack.encode({"count": 3})),
        chunks.pack(requests(random.Random(3), 2, 4)) + b"more",
    ],
)
def test_crafted_chunks_are_refused(made: bytes) -> None:
    with pytest.raises(ValueError):
        chunks.unpack(made, 2, BASE, RANGES)


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "MAX_BYTES", 1_000_000)
    with pytest.raises(ValueError, match="too large"):
        chunks.unpack(zlib.compress(bytes(20_000_000)), 1, BASE, RANGES)
