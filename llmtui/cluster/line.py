"""The connection to a Dask scheduler, and the requests to its workers."""

from __future__ import annotations

import asyncio
import contextlib
import pkgutil
import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import llmtui
from llmtui.cluster.messages import OPERATION, Answer, AnyAsk, Terms, decode_answer, encode
from llmtui.cluster.task import hold, key_of
from llmtui.cluster.versions import other_llmtui

#: How long the scheduler may take to be reached, its first worker to be there, and one question to be answered, in s.
CONNECT_S = 10.0
WORKERS_S = 20.0
CALL_S = 10.0
#: How long a scheduler that Dask did not reach may take to refuse a plain connection, in s.
REFUSED_S = 2.0
#: What each machine is asked for.
_VERSION = "llmtui:__version__"
_REFUSED = "the connection is refused, so nothing listens there"
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
        if tls:
            _check_tls(self.scheduler)
        try:
            security = Security(require_encryption=True) if tls else Security()
            self._client = Client(
                self.scheduler,
                asynchronous=True,
                security=security,
                timeout=CONNECT_S,
                set_as_default=False,
                name="llmtui",
            )
            # Once connected, Dask waits without a limit for the first words of what may be no scheduler.
            async with asyncio.timeout(CONNECT_S + CALL_S):
                await self._client
        except Exception as error:
            await self.close()
            # Dask connects again and again until its time is over, which then hides why.
            why = _REFUSED if await self._refused() else _unreached(error)
            raise LineError(f"cannot reach the scheduler {self.scheduler}: {why}") from None

    async def _refused(self) -> bool:
        """Whether nothing listens at the address of the scheduler."""
        at = urlsplit(self.scheduler)
        try:
            async with asyncio.timeout(REFUSED_S):
                _, writer = await asyncio.open_connection(at.hostname, at.port)
        except ConnectionRefusedError:
            return True
        except (OSError, TimeoutError, ValueError):
            return False
        writer.close()
        return False

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

    async def versions(self, addresses: Sequence[str]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        """Return our versions of Python and Dask, and those of the scheduler ("") and workers by address. Raises
        LineError."""
        from distributed.versions import get_versions

        try:
            async with asyncio.timeout(CALL_S):
                scheduler = await self._client.scheduler.versions()
                workers = await self._client.scheduler.broadcast(
                    msg={"op": "versions"}, workers=list(addresses), on_error="ignore"
                )
        except Exception as error:
            raise LineError(f"the scheduler {self.scheduler} does not answer: {_words(error)}") from None
        return _versions(get_versions()), {at: _versions(of) for at, of in {"": scheduler, **workers}.items()}

    async def unfit(self, addresses: Sequence[str]) -> dict[str, str]:
        """Return why workers cannot be used, by address: llmtui is missing there, or has another version. Raises
        LineError, also if that is so of the scheduler.

        They are asked by a function of Python itself: Dask ends a worker, or the task, that cannot import what it gets.
        """
        # Each by itself: a worker that hangs is lost, and not the others.
        there = dict(zip(addresses, await asyncio.gather(*map(self._version_at, addresses)), strict=True))
        try:
            async with asyncio.timeout(CALL_S):
                of_scheduler = await self._client.run_on_scheduler(pkgutil.resolve_name, _VERSION)
        except Exception as error:
            of_scheduler = error
        if why := _unfit(of_scheduler):
            raise LineError(f"the scheduler {self.scheduler} cannot be used: {why}")
        return {address: why for address, version in there.items() if (why := _unfit(version))}

    async def _version_at(self, address: str) -> object:
        """Return the version of llmtui there, or the error that says why it is unknown. Raises LineError."""
        try:
            async with asyncio.timeout(CALL_S):
                said = await self._client.run(pkgutil.resolve_name, _VERSION, workers=[address], on_error="return")
                return said.get(address)
        except TimeoutError as error:
            return error
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

    def hold(self, address: str, token: str, run: str) -> Any:
        """Start the task of a run on a worker, and on no other one. Return its future."""
        terms = encode(Terms(token=token, version=llmtui.__version__, run=run))
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


def _check_tls(scheduler: str) -> None:
    """Raise LineError if the certificates that the configuration of Dask names are missing, or cannot be read."""
    import dask.config

    files = {_variable(name): dask.config.get(f"distributed.comm.tls.{name}", None) for name in _TLS}
    if missing := [variable for variable, file in files.items() if not file]:
        raise LineError(f"{scheduler}: no certificates for TLS; set {', '.join(missing)}")
    ca, cert, key = map(str, files.values())
    of_ca, of_cert, of_key = files
    if any("\n" in text for text in (ca, cert, key)):
        return  # the certificates themselves, in a config file of Dask
    context = ssl.create_default_context()
    variables = of_ca
    try:
        context.load_verify_locations(ca)
        variables = f"{of_cert} or {of_key}"
        context.load_cert_chain(cert, key, password="")  # without one OpenSSL would ask for it at the terminal
    except OSError as error:  # an SSLError is one
        raise LineError(f"{scheduler}: {variables} names no usable certificate: {_words(error)}") from None


def _unfit(version: object) -> str:
    """Return why a machine with this version of llmtui, or the error of the import, cannot be used; "" if it can."""
    if version == llmtui.__version__:
        return ""
    if isinstance(version, TimeoutError):
        return f"no answer for {CALL_S:g} s"
    if isinstance(version, str):
        return other_llmtui(version, llmtui.__version__)
    return f"llmtui cannot be imported there ({_words(version)}); install llmtui[cluster] {llmtui.__version__}"


def _versions(of: Any) -> dict[str, str]:
    """Return what Dask says of one machine as texts, without what it does not say."""
    packages = of.get("packages") if isinstance(of, dict) else None
    return {str(name): str(version) for name, version in (packages or {}).items() if version}


def _variable(name: str) -> str:
    return f"DASK_DISTRIBUTED__COMM__TLS__{name.upper().replace('.', '__').replace('-', '_')}"


def _unreached(error: BaseException) -> str:
    """Explain why a connection to a scheduler failed, from the error and its causes."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    said = " ".join(f"{type(each).__name__} {each}" for each in chain)
    if "refused" in said:
        return _REFUSED
    if "gaierror" in said:
        return "its host is not known"
    if "WRONG_VERSION_NUMBER" in said or "record layer failure" in said:
        return "it does not use TLS; start it with --protocol tls"
    if "SSL" in said or "TLS certificate" in said:
        return f"its certificate, or ours, is not accepted; {_variable(_TLS[0])} has to be the authority of both"
    if "Unable to allocate" in said or "unpack" in said or "Reset" in said:
        return "what listens there is not a scheduler of Dask; is it the port of its dashboard?"
    if isinstance(error, TimeoutError) or "Timed out" in said:
        return f"no answer for {CONNECT_S:g} s; is the address right, and is the port open for this machine?"
    return _words(error)


def _words(error: object) -> str:
    """Return an error of Dask in one line."""
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer"
    cause = getattr(error, "__cause__", None)
    text = str(error) or (str(cause) if cause is not None else "") or type(error).__name__
    return " ".join(text.split())[:300]
