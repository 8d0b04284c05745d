"""Sends one request of a turn, and reports its sample."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import httpx
import msgspec

from llmtui.load.course import Course
from llmtui.load.lateness import Lateness
from llmtui.load.messages import Pulse, Slice
from llmtui.load.prompt_files.errors import PromptFileError, bad_prompt
from llmtui.load.prompts import Prompt
from llmtui.load.sources import open_source
from llmtui.load.talks import Asked, User
from llmtui.measure.answer import Answer
from llmtui.measure.failures import RETRY_LATER
from llmtui.measure.hold import before_write
from llmtui.measure.record import with_figures
from llmtui.measure.request import IterationError, ask
from llmtui.model import Failure, Iteration, Share
from llmtui.wire import dialect_for
from llmtui.wire.base import Request

CUT_OFF = Failure(kind="stopped", message="the turn was stopped before the answer ended")


class _Ready(NamedTuple):
    """A request that can be sent, with the name of its prompt, or why it cannot be."""

    request: Request | None
    prompt: str = ""
    failure: Failure | None = None


@dataclasses.dataclass
class Taken:
    """A request that is part of the turn from now on. Times are in s since the turn began."""

    number: int
    share: Share
    ready: _Ready
    #: When it is to be written, or was taken if that is later.
    taken_s: float
    #: The requests under way with this one, 0 until it is written.
    in_flight: int = 0
    #: The question of a conversation, if it is one, and its answer once it has ended.
    asked: Asked | None = None
    answer: Answer | None = None


@dataclasses.dataclass
class _End:
    """How a request ended, `age_s` after it was taken. Its first token came `first_s` after that, None if none did."""

    taken: Taken
    due_s: float | None
    waited_s: float | None
    answer: Answer | None = None
    failure: Failure | None = CUT_OFF
    refused: bool = False
    age_s: float = 0.0
    first_s: float | None = None


class Sender:
    """Sends the requests of one slice on one client: `take` one, then `send` it.

    `report` gets each sample when its request has ended, and `halt` ends the slice.
    """

    def __init__(
        self,
        of: Slice,
        client: httpx.AsyncClient,
        course: Course,
        report: Callable[[Iteration], None],
        halt: Callable[[], None],
    ) -> None:
        self.course = course
        self.lateness = Lateness()
        #: How many conversations ended since they were too long for the context.
        self.talks_full = 0
        #: Why the turn cannot be compared, None if it can.
        self.failure: Failure | None = None
        self._slice = of
        self._client = client
        self._report = report
        self._halt = halt
        self._dialect = dialect_for(of.backend)
        self._source = open_source(of.prompts, of.prompt_seed, of.calibration, of.prompts_from)
        self._over = asyncio.Event()
        self._prepared: tuple[int, _Ready] | None = None
        #: The requests under way.
        self.in_flight = 0
        #: Requests that have ended and are to be reported.
        self._ends: list[_End] = []
        self._finished = 0
        self._failed = 0
        self._refused = 0
        self._tokens = 0
        self._began_ns = time.monotonic_ns()
        #: Whether it is known when the turn begins.
        self.begun = of.begin_ns == 0
        #: Called when `release` ended the turn.
        self.on_release: Callable[[], None] = lambda: None

    @property
    def now_s(self) -> float:
        """The time since the turn began, in s."""
        return (time.monotonic_ns() - self._began_ns) / 1e9

    def begin_at(self, at_ns: int) -> None:
        """Let the turn begin at a moment on the monotonic clock: until then `now_s` is negative."""
        self._began_ns, self.begun = at_ns, True

    def release(self) -> None:
        """End the turn: all workers have their answers of the window."""
        self.course.release()
        if self.course.over:
            self._over.set()
            self.on_release()

    def instant_ns(self, at_s: float) -> int:
        """Return the time on the monotonic clock that is `at_s` after the beginning of the turn."""
        return self._began_ns + round(at_s * 1e9)

    def pulse(self) -> Pulse:
        """Return how far the turn is."""
        return Pulse(
            share=self.course.share,
            elapsed_s=round(self.now_s, 3),
            sent=self.course.sent,
            in_flight=self.in_flight,
            finished=self._finished,
            failed=self._failed,
            counted=self.course.counted,
            tokens=self._tokens,
            refused=self._refused,
            worker=self._slice.base.worker,
        )

    def prepare(self) -> None:
        """Build the next request, so that `take` need not."""
        number = self.course.upcoming
        if self._prepared is None or self._prepared[0] != number:
            self._prepared = number, self._request(number)

    def user(self, number: int) -> User | None:
        """Return the user who is a stream, numbered from 0 on; None if requests are no conversations."""
        return User(self._slice, self._source, number) if self._slice.turns else None

    def take_of(self, user: User, thought_s: float | None) -> Taken:
        """Take the next question of a user, who thought this long before it, to be written now."""
        now_s = self.now_s
        number, share = self.course.next(now_s)
        try:
            asked = user.ask(thought_s)
        except PromptFileError as problem:
            return Taken(number, share, _Ready(None, failure=bad_prompt(problem)), now_s)
        # All questions of a conversation have the same fresh line, so that its history may come from a cache.
        return Taken(number, share, self._ready(asked.talk, asked.prompt), now_s, asked=asked)

    def take(self, at_s: float = 0.0) -> Taken:
        """Take the next request of the turn, to be written at `at_s` (s since the turn began), or at once if later."""
        taken_s = max(self.now_s, at_s)
        number, share = self.course.next(taken_s)
        prepared, self._prepared = self._prepared, None
        ready = prepared[1] if prepared is not None and prepared[0] == number else self._request(number)
        return Taken(number, share, ready, taken_s)

    async def send(
        self,
        taken: Taken,
        *,
        due_s: float | None = None,
        waited_s: float | None = None,
        hold: Callable[[], Awaitable[None]] | None = None,
    ) -> IterationError | None:
        """Send a request and wait for its end; return its error if it failed. A cancellation is reported, and raised.

        `due_s` is when it was to be sent (s since the turn began), and `waited_s` how long it waited for the cap. With
        a connection at hand it awaits `hold`, and is written then.
        """
        if hold is None:
            self._count(taken)
        else:
            before_write.set(functools.partial(self._write_after, hold, taken))
        end = _End(taken, due_s, waited_s)
        try:
            if taken.ready.request is None:
                raise IterationError(taken.ready.failure or CUT_OFF)
            end.answer = await ask(
                self._client,
                taken.ready.request,
                self._dialect,
                timeout_s=self._slice.config.timeout_s,
                on_tokens=functools.partial(self._on_tokens, end),
            )
            end.failure = None
            taken.answer = end.answer
        except IterationError as error:
            end.failure = error.failure
            end.refused = error.status in RETRY_LATER
            if end.failure.kind == "stopped":
                self.failure = self.failure or end.failure
            if taken.ready.request is None:
                self.failure = end.failure
                self._halt()  # each backend would meet the same one
            return error
        finally:
            self._end(end)
        return None

    async def pause(self, until_s: float) -> None:
        """Wait until `until_s` (s since the turn began), or until no more requests are to be sent."""
        while self.course.tick(now_s := self.now_s) and now_s < until_s:
            ends_s = self.course.due_to_end_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(until_s, ends_s or until_s) - now_s):
                    await self._over.wait()

    def give_up(self, what: str, failure: Failure) -> None:
        """End the slice: `what` happened, the last time with `failure`."""
        self.failure = msgspec.structs.replace(failure, message=f"{what}: {failure.message}")
        self._halt()

    def _request(self, number: int) -> _Ready:
        try:
            prompt = self._source.prompt(number) if self._source is not None else None
        except PromptFileError as problem:
            return _Ready(None, failure=bad_prompt(problem))
        return self._ready(number, prompt)

    def _ready(self, number: int, prompt: Prompt | None) -> _Ready:
        """Build a request. `number` decides its fresh line."""
        of = self._slice
        body, limit = of.template.of(number, prompt, of.config.max_tokens), of.max_tokens
        if prompt is not None and of.limited:
            limit = prompt.max_tokens or limit
        request = Request(method=of.method, url=of.url, headers=of.headers, body=body, max_tokens=limit)
        return _Ready(request, prompt.name if prompt is not None else "")

    async def _write_after(self, hold: Callable[[], Awaitable[None]], taken: Taken) -> None:
        await hold()
        self._count(taken)

    def _count(self, taken: Taken) -> None:
        if not taken.in_flight:  # it may be written again, on another connection
            self.in_flight += 1
            taken.in_flight = self.in_flight

    def _end(self, end: _End) -> None:
        end.age_s = self.now_s - end.taken.taken_s
        self.in_flight -= end.taken.in_flight > 0
        self._finished += end.failure is None
        self._failed += end.failure is not None
        self._refused += end.refused
        self.course.ended(end.taken.share)
        if self.course.over:
            self._over.set()
        if not self._ends:
            asyncio.get_running_loop().call_soon(self.report)
        self._ends.append(end)

    def report(self) -> None:
        """Report the samples of all requests that have ended.

        It is called after the next requests were sent: what a sample takes would otherwise be time without a request.
        """
        ends, self._ends = self._ends, []
        for end in ends:
            try:
                sample = self._sample(end)
            except Exception as problem:  # an error in llmtui: this sample is missing, so the turn is not whole
                message = f"llmtui failed here: {problem!r}"
                self.failure = Failure(kind="server", message=message, hint="please report this")
                continue
            if sample.due_s is not None and sample.written_s is not None:
                late_s = sample.written_s - sample.due_s - (sample.waited_s or 0.0)
                self.lateness.add(sample.due_s, late_s, sample.ttft_s)
            self._report(sample)

    def _sample(self, end: _End) -> Iteration:
        taken, answer, failure = end.taken, end.answer, end.failure
        sample = msgspec.structs.replace(
            self._slice.base,
            request=taken.number,
            share=taken.share,
            written_s=(answer.written_ns - self._began_ns) / 1e9 if answer is not None else taken.taken_s,
            due_s=end.due_s,
            waited_s=end.waited_s,
            in_flight=taken.in_flight or None,
            prompt=taken.ready.prompt,
            error=failure,
            refused=int(end.refused),
        )
        if (asked := taken.asked) is not None:
            sample = msgspec.structs.replace(
                sample,
                talk=asked.talk,
                talk_turn=asked.turn,
                thought_s=asked.thought_s,
            )
        if answer is not None:
            return with_figures(sample, answer)
        # How long it had been under way by then.
        sample = msgspec.structs.replace(sample, latency_s=end.age_s)
        return msgspec.structs.replace(sample, ttft_s=end.first_s) if failure is CUT_OFF else sample

    def _on_tokens(self, end: _End, _: int) -> None:
        self._tokens += 1
        if end.first_s is None:
            end.first_s = self.now_s - end.taken.taken_s
