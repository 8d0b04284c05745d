"""The connection to a Dask scheduler, and the requests to its workers."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import llmtui
from llmtui.cluster.messages import OPERATION, Answer, AnyAsk, Terms, decode_answer, encode
from llmtui.cluster.task import hold, key_of

#: How long the scheduler may take to be reached, its first worker to be there, and one question to be answered, in s.
CONNECT_S = 10.0
WORKERS_S = 20.0
CALL_S = 10.0
_TLS = ("ca-file", "client.cert", "client.key")


class LineError(Exception):
    """The scheduler or a worker does not answer. The text says which and why."""


class Line:
    """An open connection to a scheduler: `open` it first. Used on one event loop."""

    def __init__(self, scheduler: str) -> None:
        self.scheduler = scheduler
        self._client: Any = None

    async def open(self) -> None:
        """Connect. Raises LineError."""
        from distributed import Client
        from distributed.security import Security

        tls = self.scheduler.startswith("tls://")
        if tls and (missing := _missing_tls()):
            raise LineError(f"{self.scheduler}: no certificates for TLS; set {', '.join(missing)}")
        try:
            security = Security(require_encryption=True) if tls else Security()
            self._client = await Client(
                self.scheduler,
                asynchronous=True,
                security=security,
                timeout=CONNECT_S,
                set_as_default=False,
                name="llmtui",
            )
        except Exception as error:
            raise LineError(f"cannot reach the scheduler {self.scheduler}: {_words(error)}") from None

    async def workers(self) -> dict[str, str]:
        """Return the addresses of the workers and the hosts in them, at least one. Raises LineError."""
        try:
            async with asyncio.timeout(WORKERS_S):
                while True:
                    known = await self._client.scheduler.identity(n_workers=-1)
                    if found := {address: str(each["host"]) for address, each in known["workers"].items()}:
                        return dict(sorted(found.items()))
                    await asyncio.sleep(0.2)
        except TimeoutError:
            text = f"the scheduler {self.scheduler} has no workers after {WORKERS_S:g} s; start some: dask worker"
            raise LineError(f"{text} {self.scheduler}") from None
        except Exception as error:
            raise LineError(f"the scheduler {self.scheduler} does not answer: {_words(error)}") from None

    async def knows(self, address: str) -> bool:
        """Whether the scheduler still has this worker. Raises LineError."""
        try:
            async with asyncio.timeout(CALL_S):
                return address in (await self._client.scheduler.identity(n_workers=-1))["workers"]
        except Exception as error:  # Dask raises RuntimeError too, once the line is closed
            raise LineError(f"the scheduler {self.scheduler} does not answer: {_words(error)}") from None

    @property
    def closed(self) -> bool:
        """Whether the scheduler was lost, and Dask has given up."""
        return self._client is None or self._client.status in ("closing", "closed")

    def hold(self, address: str, token: str) -> Any:
        """Start the task on a worker, and on no other one. Return its future."""
        terms = encode(Terms(token=token, version=llmtui.__version__))
        return self._client.submit(
            hold, terms, key=key_of(token), workers=[address], allow_other_workers=False, pure=False, retries=0
        )

    async def ask(self, address: str, token: str, ask: AnyAsk) -> Answer | None:
        """Ask the task on a worker; None if it is not there (yet). Raises LineError."""
        message = {"op": OPERATION, "token": token, "data": encode(ask)}
        try:
            async with asyncio.timeout(CALL_S):
                replies = await self._client.scheduler.broadcast(msg=message, workers=[address])
        except TimeoutError:
            raise LineError(f"no answer for {CALL_S:g} s") from None
        except Exception as error:  # Dask raises what the other side raised
            raise LineError(_words(error)) from None
        data = replies.get(address)
        return decode_answer(data) if isinstance(data, bytes) and data else None

    async def close(self) -> None:
        """Disconnect. Dask then takes back the tasks that are left. Safe to call more than once."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CALL_S):
                    await client.close()


def _missing_tls() -> list[str]:
    """Return the variables of the certificates that the configuration of Dask lacks."""
    import dask.config

    names = [name for name in _TLS if not dask.config.get(f"distributed.comm.tls.{name}", None)]
    return [f"DASK_DISTRIBUTED__COMM__TLS__{name.upper().replace('.', '__').replace('-', '_')}" for name in names]


def _words(error: BaseException) -> str:
    """Return an error of Dask in one line."""
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer"
    cause = error.__cause__
    text = str(error) or (str(cause) if cause is not None else "") or type(error).__name__
    return " ".join(text.split())[:300]
