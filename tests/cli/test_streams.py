"""Standard output that cannot be written, or not at once."""

from __future__ import annotations

import os
import threading

from llmtui.cli.streams import Pipe


def test_a_pipe_that_another_program_made_non_blocking_gets_everything() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    data, received = b"x" * 1_000_000, bytearray()

    def read() -> None:
        while part := os.read(reading, 65_536):
            received.extend(part)

    reader = threading.Thread(target=read)
    reader.start()
    pipe, sent = Pipe(writing), 0
    while sent < len(data):
        sent += pipe.write(data[sent:])
    os.close(writing)
    reader.join(10)
    os.close(reading)
    assert pipe.lost is None and bytes(received) == data


def test_after_an_error_nothing_is_written() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    pipe = Pipe(writing)
    assert pipe.write(b"one") == 3
    assert isinstance(pipe.lost, BrokenPipeError)
    os.close(writing)
    assert pipe.write(b"two") == 3
