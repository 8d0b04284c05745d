"""One timed request: send it, timestamp every arrival and parse the answer. A failed one has a `Failure`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime

import httpx

from llmtui.measure import failures
from llmtui.measure.answer import Answer
from llmtui.measure.clock import sample_offset
from llmtui.measure.content import ContentDecoder, read_body
from llmtui.measure.ending import Ending
from llmtui.measure.stamped_socket import kernel_stamps
from llmtui.measure.transport import Client, as_response
from llmtui.model import Failure
from llmtui.wire.base import Dialect, Request, WireError
from llmtui.wire.lenient import TruncatedError

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 65_536
#: The time of each arrival is stored. A server that sends many more than the requested tokens does not stop.
MAX_ARRIVALS = 100_000
ARRIVALS_PER_TOKEN = 4
#: How long to read the body of an error.
ERROR_BODY_S = 2.0
#: How much of an answer is stored for the words about one that cannot be read.
EXCERPT_BYTES = 400
_LIMIT_LENGTH = "lower max_tokens, or check that the server obeys it"
EARLY_ANSWER = "the answer began before the request was sent: the server does not wait for the request"


class IterationError(Exception):
    """An iteration failed. `failure` is for the user; `status` and `body` are set after an HTTP error.

    `retry_after_s` is set when the server refused the request with a Retry-After of that many seconds, `cause` when no
    connection could be made.
    """

    def __init__(
        self,
        failure: Failure,
        *,
        status: int | None = None,
        body: bytes = b"",
        retry_after_s: float | None = None,
        cause: failures.ConnectCause | None = None,
    ) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.status = status
        self.body = body
        self.retry_after_s = retry_after_s
        self.cause = cause


async def ask(
    client: httpx.AsyncClient,
    request: Request,
    dialect: Dialect,
    *,
    timeout_s: float,
    on_tokens: Callable[[int], None] | None = None,
) -> Answer:
    """Send `request` and measure its answer. Raises IterationError for everything that is not a sample.

    `on_tokens(n)` is called after each arrival with the number of text events so far; it must be cheap.
    """
    answer = Answer(max_tokens=request.max_tokens, sent_bytes=len(request.body))
    try:
        async with asyncio.timeout(timeout_s) as timeout:
            await _exchange(client, request, dialect, answer, on_tokens, timeout)
    except IterationError:
        raise
    except TimeoutError:
        raise IterationError(failures.timed_out(answer.events, timeout_s)) from None
    except WireError as error:
        raise IterationError(Failure(kind=error.kind, message=error.message, hint=error.hint)) from None
    except (httpx.ConnectTimeout, httpx.ConnectError, httpx.UnsupportedProtocol) as error:
        cause = None if isinstance(error, failures.NotAdmitted) else failures.connect_cause(error)
        raise IterationError(failures.connect_failure(request.url, error), cause=cause) from None
    except httpx.TransportError as error:
        raise IterationError(failures.connection_lost(answer.events, error, request.url)) from None
    except (httpx.InvalidURL, UnicodeEncodeError) as error:
        raise IterationError(failures.invalid_request(error)) from None
    if answer.events == 0:
        raise IterationError(failures.empty_answer(answer))
    if dialect.requires_finish and answer.finish_reason is None:
        raise IterationError(failures.truncated(answer.events))
    return answer


async def _exchange(
    client: httpx.AsyncClient,
    request: Request,
    dialect: Dialect,
    answer: Answer,
    on_tokens: Callable[[int], None] | None,
    timeout: asyncio.Timeout,
) -> None:
    assert isinstance(client, Client)
    reader, stream = await client.exchange(request.method, request.url, request.headers, request.body)
    try:
        written = answer.written_ns = stream.written_ns
        answer.written_stamp = stream.written_stamp
        if not 200 <= reader.status < 300:
            raise await _http_error(as_response(reader, stream), request, dialect)
        if stream.answered_early:
            raise WireError(EARLY_ANSWER)
        parser = dialect.parser(reader.header(b"content-type"))
        decoder = ContentDecoder(reader.header(b"content-encoding"))

        def stop() -> None:
            timeout.reschedule(None)  # it may be due as well: the answer is complete
            stream.stop()

        ending = Ending(answer, parser, stop, timeout.when())
        max_arrivals = max(MAX_ARRIVALS, ARRIVALS_PER_TOKEN * (request.max_tokens or 0))
        size = encoded = events = last_ns = 0

        def receive(arrived_ns: int, data: bytes) -> None:
            nonlocal size, events, last_ns
            if not size:
                answer.first_bytes = data[:EXCERPT_BYTES]
            last_ns = arrived_ns
            size += len(data)
            if size > MAX_BODY_BYTES:
                raise WireError(f"the answer is longer than {MAX_BODY_BYTES // 2**20} MB", hint=_LIMIT_LENGTH)
            carried = answer.add(parser.feed(data), arrived_ns - written)
            if len(answer.arrivals_ns) > max_arrivals:
                raise WireError(
                    f"more than {max_arrivals:,} arrivals with text: the server does not stop", hint=_LIMIT_LENGTH
                )
            if carried and on_tokens is not None:
                events += carried
                on_tokens(events)
            if not carried or answer.finish_reason is not None or parser.ended:
                ending.heard(arrived_ns, bool(carried), data)

        def decode(arrived_ns: int, data: bytes) -> None:
            nonlocal encoded
            encoded += len(data)
            if encoded > MAX_BODY_BYTES:
                raise WireError(f"the answer is longer than {MAX_BODY_BYTES // 2**20} MB", hint=_LIMIT_LENGTH)
            for piece in decoder.feed(data):
                receive(arrived_ns, piece)

        def begin(arrived_ns: int, data: bytes) -> None:
            decoder.begin(data)
            sink = receive if decoder.identity else decode
            stream.replace_sink(sink)
            sink(arrived_ns, data)

        try:
            await stream.deliver(begin)
        except httpx.TransportError:
            if not ending.complete:
                raise
        finally:
            ending.close()
        if size == 0 and reader.status in failures.NO_CONTENT:
            raise IterationError(failures.no_content(reader.status))
        if not decoder.complete and not ending.complete:
            raise WireError("the compressed answer is incomplete: its compression is cut off")
        answer.body_bytes = size
        answer.end_ns = (ending.said_ns or last_ns or stream.arrived_ns) - written
        try:
            answer.add(parser.close(), answer.end_ns if parser.whole else last_ns - written)
        except TruncatedError:
            if not ending.complete:
                raise
        answer.streamed = not parser.whole
        answer.connect_ns = stream.connect_ns
        answer.stamp = stream.stamp
        # Without kernel stamps no time comes from the wall clock, which macOS slews and the monotonic clock does not.
        if kernel_stamps() is not None and stream.offset.stepped(sample_offset()):
            raise IterationError(failures.clock_was_set())
        if answer.arrivals_ns and answer.arrivals_ns[0] < 0:
            raise WireError(EARLY_ANSWER)
    finally:
        await stream.aclose()


async def _http_error(response: httpx.Response, request: Request, dialect: Dialect) -> IterationError:
    status = response.status_code
    if 300 <= status < 400 and (location := response.extensions.get("llmtui.location", "")):
        return IterationError(failures.redirect_failure(status, request.method, request.url, location), status=status)
    body = bytearray()
    # Report what has arrived until then.
    with contextlib.suppress(httpx.TransportError, WireError, TimeoutError):
        async with asyncio.timeout(ERROR_BODY_S):
            await read_body(response, MAX_ERROR_BYTES, body)
    text = dialect.error_text(bytes(body))
    wait_s = None
    if status in failures.RETRY_LATER and (retry_after := response.headers.get("retry-after")):
        wait_s = failures.retry_after_s(retry_after, response.headers.get("date", ""), datetime.now(UTC))
    failure = failures.http_failure(status, text, wait_s)
    return IterationError(failure, status=status, body=bytes(body), retry_after_s=wait_s)
