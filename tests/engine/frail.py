"""A server that fails once more than a number of requests are under way. Run it, or use `Frail` in a test.

`python -m tests.engine.frail --port 1234 --most 2 --then exit`
"""

from __future__ import annotations

import argparse
import asyncio
import os

from tests.scripted import FINISH, SSE_HEAD, token

REFUSED = b"HTTP/1.1 429 X\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
BROKEN = REFUSED.replace(b"429", b"500")
EMPTY = REFUSED.replace(b"429 X", b"404 Not Found")
#: How long an answer takes, in s.
ANSWER_S = 0.02


class Frail:
    """Answers with two tokens. With more than `most` requests under way it does as `then` says.

    "exit" ends the process, "close" closes all connections and stops listening, "refuse" answers with 429 and "break"
    with 500.
    """

    def __init__(self, most: int, then: str) -> None:
        self.most = most
        self.then = then
        self.under_way = self.refused = 0
        self.server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def listen(self, port: int = 0) -> str:
        """Listen on this port of 127.0.0.1 and return the URL."""
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        """Stop listening and cut all connections."""
        if self.server is not None:
            self.server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            sizes = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(sizes[0]) if sizes else 0)
            if head.startswith(b"POST"):
                await self._answer(writer)
            else:
                writer.write(EMPTY)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        self.under_way += 1
        try:
            if self.under_way > self.most:
                if self.then == "exit":
                    os._exit(3)
                if self.then == "close":
                    self.close()
                self.refused += 1
                writer.write(REFUSED if self.then == "refuse" else BROKEN)
                return
            writer.write(SSE_HEAD + token("a"))
            await asyncio.sleep(ANSWER_S)
            writer.write(token("b") + FINISH + b"data: [DONE]\n\n")
        finally:
            self.under_way -= 1


async def main() -> None:
    """Serve until killed."""
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--most", type=int, required=True)
    options.add_argument("--then", required=True)
    args = options.parse_args()
    await Frail(args.most, args.then).listen(args.port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
