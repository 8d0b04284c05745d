"""The task on the machine of a Dask worker: `hold` takes one of its threads for as long as a run measures from there.

The engine talks to it by an operation of the Dask worker, through the scheduler, and not by further tasks: a worker
may have one thread only.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
import time
from typing import Any

import llmtui
from llmtui.cluster.host import Host
from llmtui.cluster.messages import (
    OPERATION,
    Answer,
    Carry,
    Certify,
    End,
    Fetch,
    Greet,
    Ping,
    Reach,
    Tell,
    decode_ask,
    decode_terms,
    encode,
)
from llmtui.cluster.this_machine import boot, connect_times, network, own_error_s
from llmtui.cluster.versions import other_llmtui
from llmtui.load.marks import marked_runs

#: The tasks on this Dask worker, by their tokens.
_hosts: dict[str, Host] = {}


def hold(terms: bytes) -> str:
    """Measure for an engine until it ends the task or is gone; return why it ended. Runs as a Dask task."""
    from distributed import get_worker

    given = decode_terms(terms)
    if given.version != llmtui.__version__:
        raise RuntimeError(other_llmtui(llmtui.__version__, given.version))
    worker = get_worker()
    for earlier in list(_hosts.values()):
        if earlier.run_id == given.run:  # the engine has given it up
            earlier.command(End())
    wanted = functools.partial(_wanted, worker, given.token)
    host = Host(socket.gethostname(), wanted, worker.local_directory, given.run)
    _hosts[given.token] = host
    worker.handlers[OPERATION] = answer
    try:
        return host.run()
    finally:
        del _hosts[given.token]


async def answer(token: str, data: bytes) -> bytes:
    """Answer what an engine asks; b"" if its task is not here."""
    received_ns = time.monotonic_ns()
    host = _hosts.get(token)
    if host is None:
        return b""
    ask = decode_ask(data)
    match ask:
        case Ping():
            given = Answer(received_ns=received_ns, sent_ns=time.monotonic_ns())
        case Greet():
            given = Answer(
                version=llmtui.__version__,
                host=socket.gethostname(),
                boot=boot(),
                network=network(),
                others=len(await asyncio.to_thread(_other_runs, host.run_id)),
                cores=os.cpu_count() or 0,
            )
        case Reach():
            given = await _reach(ask)
        case Certify(streams=streams, rate=rate):
            given = Answer(own_error_s=await asyncio.to_thread(own_error_s, streams, rate))
        case Fetch():
            given = host.fetch(ask)
        case Carry() | Tell() | End():
            given = host.command(ask)
    return encode(given)


def _other_runs(run: str) -> set[str]:
    """Return the other runs that measure on this machine: by this Dask worker, by others, or from here."""
    return ({host.run_id for host in list(_hosts.values()) if host.measures} | marked_runs()) - {run}


async def _reach(ask: Reach) -> Answer:
    try:
        return Answer(rtts_s=await asyncio.to_thread(connect_times, ask.host, ask.port))
    except (OSError, UnicodeError) as error:
        return Answer(unreached=str(getattr(error, "strerror", "") or error))


def _wanted(worker: Any, token: str) -> bool:
    """Whether the Dask worker runs and still has the task. Where Dask does not say, the engine's silence decides."""
    with contextlib.suppress(AttributeError, KeyError, RuntimeError):
        if worker.status.name in ("closing", "closed", "failed", "closing_gracefully"):
            return False
        task = worker.state.tasks.get(key_of(token))
        return task is not None and task.state != "cancelled"
    return True


def key_of(token: str) -> str:
    """Return the key of the task in Dask, as its dashboard shows it."""
    return f"llmtui-{token}"
