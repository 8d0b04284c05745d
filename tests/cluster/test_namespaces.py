"""A worker in a network of its own: another machine as far as addresses are concerned."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.cluster.helpers import dask, needs_dask, watched
from tests.load.helpers import slice_for, truth

pytestmark = [needs_dask, pytest.mark.slow]


def ip(*words: str) -> None:
    """Run ip(8). Skips the test if this machine does not allow it."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no network namespaces here: {done.stderr.strip()}")


@pytest.fixture
def namespace() -> Iterator[tuple[str, str]]:
    """A network namespace, and the address of this machine as seen from there."""
    if os.geteuid() or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and ip(8)")
    number = os.getpid() % 250
    name, ours, theirs = f"llmtui{os.getpid()}", f"10.231.{number}.1", f"10.231.{number}.2"
    ip("netns", "add", name)
    try:
        ip("link", "add", f"llmtui{number}", "type", "veth", "peer", "name", "far", "netns", name)
        ip("addr", "add", f"{ours}/30", "dev", f"llmtui{number}")
        ip("link", "set", f"llmtui{number}", "up")
        for words in (("addr", "add", f"{theirs}/30", "dev", "far"), ("link", "set", "far", "up")):
            ip("-n", name, *words)
        ip("-n", name, "link", "set", "lo", "up")
        yield name, ours
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)  # the pair of devices goes with it


@contextlib.asynccontextmanager
async def relay(url: str, address: str) -> AsyncIterator[str]:
    """Pass on connections to `address`, and yield the URL of the server there."""
    to = urlsplit(url)

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(to.hostname, to.port)
        await asyncio.gather(copy(reader, forth), copy(back, writer))

    server = await asyncio.start_server(serve, address, 0)
    async with server:
        yield f"http://{address}:{server.sockets[0].getsockname()[1]}"


async def test_a_worker_in_another_network_measures_and_has_another_loopback(
    tmp_path: Path, namespace: tuple[str, str]
) -> None:
    name, address = namespace
    cluster = dask(tmp_path, within=[["ip", "netns", "exec", name]], host=address)
    server = truth(ttft_ms=5, itl_ms=1)
    async with server as url, relay(url, address) as reachable, cluster as running, watched(running) as of:
        done = await of.run(slice_for(reachable, streams=4, requests=40))
        assert done.error is None and all(sample.ok for sample in of.samples)
        assert {sample.worker for sample in of.samples} == {1, 2}
        assert any(note.startswith("a: a connection takes ") for note in of.notes)
        done = await of.run(slice_for(url, streams=4, requests=40))
        assert done.error is not None and done.error.kind == "missing" and of.samples == []
        assert f"is another machine: 127.0.0.1:{urlsplit(url).port} is not the server there" in done.error.message
