"""`llmtui check`: brings up every backend and sends it one short request."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec

from llmtui import exit_codes
from llmtui.cli.output import report
from llmtui.engine.asking import ask_until_settled
from llmtui.engine.bringup import Target
from llmtui.engine.prompting import first_prompt
from llmtui.engine.server_exit import with_exit
from llmtui.engine.slots import slots_of
from llmtui.interrupts import Interruption
from llmtui.link.run_folders import scratch_folder
from llmtui.measure.request import IterationError
from llmtui.model import Plan, redactor
from llmtui.runview.presence import TELLS, absent_line, others_as_text
from llmtui.runview.prompts import before_sentences
from llmtui.servers.base import Ready, Report, StartError
from llmtui.servers.environment import withheld_variables
from llmtui.stats.correction import cannot_decide
from llmtui.text import Redactor, sanitize
from llmtui.text.cells import cells_wide, pad
from llmtui.text.format import plural

#: The answer to the request is at most this long.
MAX_TOKENS = 4


def check_backends(plan: Plan) -> int:
    """Check every backend of `plan`. Print a line for each, in order, then what is not here. Return the exit code.

    A load and its prompts are said back first.
    """
    for text in before_sentences(plan):
        report(text)
    with Interruption() as interruption:
        passed = asyncio.run(interruption.run(_check_all(plan)))
    for line in (absent_line(plan, TELLS), others_as_text(plan)):
        if line:
            report(line)
    return exit_codes.INTERRUPTED if passed is None else exit_codes.OK if passed else exit_codes.FAILED


async def _check_all(plan: Plan) -> bool:
    redact = redactor(plan)
    config = msgspec.structs.replace(plan.config, max_tokens=MAX_TOKENS)
    passed, answered = True, 0
    width = max(cells_wide(sanitize(b.name)) for b in plan.backends)
    with scratch_folder("llmtui-check-") as folder:
        targets = [
            Target(
                backend,
                config,
                Path(folder) / str(number),
                withheld_variables(backend, plan.backends, os.environ),
                slots=slots_of(plan),
            )
            for number, backend in enumerate(plan.backends)
        ]
        # Servers that already run are asked concurrently: one that hangs delays no other.
        bringing_up = {
            t.backend.name: asyncio.create_task(t.bring_up(_progress(t, redact)))
            for t in targets
            if not t.backend.launched
        }
        try:
            for target in targets:
                answers = await _check_one(target, bringing_up.get(target.backend.name), width, plan, redact)
                answered += answers
                passed = passed and answers
        finally:
            for task in bringing_up.values():
                task.cancel()
            await asyncio.gather(*bringing_up.values(), return_exceptions=True)
            for target in targets:
                await target.close()
    if not plan.relaunches and (short := cannot_decide(plan.config.iterations, answered)):
        report(short)
    return passed


async def _check_one(
    target: Target, bringing_up: asyncio.Task[Ready] | None, width: int, plan: Plan, redact: Redactor
) -> bool:
    head = pad(sanitize(target.backend.name), width) + "  "

    def say(note: str) -> None:
        report(f"{head}{sanitize(redact(note))}")

    try:
        ready = await (bringing_up or target.bring_up(_progress(target, redact)))
        # Only an answer proves that url, model and protocol go together.
        asked, timeout_s = first_prompt(plan), plan.config.timeout_s
        await ask_until_settled(target, asked, say, timeout_s, max_tokens=MAX_TOKENS)
    except (StartError, IterationError) as error:
        failure = error.failure
        if isinstance(error, IterationError):
            failure = await with_exit(failure, target.server)
        print(head + sanitize(redact(str(failure)), 600), flush=True)
        gone = target.server is not None and target.server.exited.is_set()
        for line in error.log_tail if isinstance(error, StartError) else target.log_tail(8) if gone else ():
            report(f"    {sanitize(redact(line))}")
        return False
    except Exception as error:  # a bug that one backend meets: the others are still checked
        print(f"{head}internal error: {sanitize(redact(repr(error)), 200)}; please report it")
        return False
    finally:
        remark = target.remark
        await target.close()
    facts = [ready.version, ready.title or ready.model, ready.weights, remark]
    texts = [sanitize(redact(fact)) for fact in facts if fact]
    texts += [plural(ready.slots, "slot")] if plan.levels and ready.slots is not None else []
    texts += [f"loaded in {ready.load_s:.1f} s"] if ready.load_s is not None else []
    texts += [target.backend.start_words] if target.backend.launched else []
    print(f"{head}answers{': ' * bool(texts)}{', '.join(texts)}", flush=True)
    return True


def _progress(target: Target, redact: Redactor) -> Report:
    """A callback that reports each step of bringing up `target` once."""
    reported = ""

    def progress(doing: str, fraction: float | None) -> None:
        nonlocal reported
        if fraction is not None and doing != reported:
            reported = doing
            report(f"{sanitize(target.backend.name)}: {sanitize(redact(doing))}")

    return progress
