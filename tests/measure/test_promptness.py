"""The scheduler is asked for short slices of the thread that measures, and of no other."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

#: Prints what the kernel says about this thread and about a child: nice value and slice.
_PROGRAM = """
import ctypes, json, os, struct, sys
from llmtui.measure.promptness import SLICE_NS, wake_promptly
def read():
    data = ctypes.create_string_buffer(56)
    ctypes.CDLL(None).syscall(315, 0, data, 56, 0)
    size, policy, flags, nice, priority, runtime = struct.unpack("=IIQiIQ", data.raw[:32])
    return [policy, nice, runtime]
os.nice(3)
before = read()
accepted = wake_promptly()
ours = read()
reader, writer = os.pipe()
if not os.fork():
    os.write(writer, json.dumps(read()).encode())
    os._exit(0)
print(json.dumps([accepted, before, ours, json.loads(os.read(reader, 1000)), SLICE_NS]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_short_slices_for_this_thread_only() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    accepted, before, ours, child, slice_ns = json.loads(done.stdout)
    if not accepted:
        pytest.skip("the kernel does not take slices")
    assert ours[:2] == before[:2] == [0, 3]
    if before[2] == 0:
        pytest.skip("the kernel does not report slices")
    assert ours[2] == slice_ns < before[2]
    assert child == before
