"""How close is the length of a synthetic prompt to the number that the server counts?

Runs a load of a mix on each embedded engine, alone, with the model of the cache: llama.cpp is asked for its tokenizer,
mistral.rs is calibrated by the usage of two requests. Prints, of the turns that count, the error of the prompts in
percent of their planned length, the share of prompts within 1%, and how many tokens the template takes.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from llmtui.model import AnyEvent, Backend, Embedded, Load, Note, Plan, Prompts, RunConfig
from llmtui.store.open import open_store
from tests.bench.common import command_line, heading
from tests.bench.engine_run import collected

ENGINES: list[Embedded] = ["llama.cpp", "mistral.rs"]


def plan_of(engine: Embedded, mix: str, requests: int, streams: int) -> Plan:
    """One measured turn of a load."""
    return Plan(
        run=secrets.token_hex(4),
        created_utc=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        config=RunConfig(iterations=1, warmup=1, timeout_s=600, on_disconnect="stop"),
        backends=[Backend(name=engine, framework=engine, embedded=engine)],
        fresh_role="system",
        load=Load(concurrency=streams, requests=requests, settle=0),
        prompts=Prompts(mix=mix),
    )


def notes_of(event: AnyEvent) -> list[str]:
    """The text of a note."""
    return [event.text] if isinstance(event, Note) else []


def lengths(plan: Plan, path: str) -> list[tuple[int, int]]:
    """The planned length of each prompt of the measured turn, and the server's count."""
    store, _ = open_store(Path(path))
    with store:
        turns = [turn for turn in store.load(plan.run).turns if turn.phase == "measured"]
        samples = [sample for turn in turns for batch in store.requests(turn) for sample in batch if sample.ok]
    return [(int(s.prompt.partition("/")[0]), s.prompt_tokens) for s in samples if s.prompt_tokens is not None]


def main() -> None:
    """Measure, and print a line for each engine."""
    parser = command_line(__doc__)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--mix", default="U(100,900)/(1,4)")
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--streams", type=int, default=2)
    arguments = parser.parse_args()
    print(heading("lengths of synthetic prompts"))
    for engine in arguments.engines:
        plan = plan_of(engine, arguments.mix, arguments.requests, arguments.streams)
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="llmtui-bench-") as folder:
            path = str(Path(folder) / "history.db")
            notes = asyncio.run(collected(plan, notes_of, path))
            found = lengths(plan, path)
        errors = [100 * (counted / planned - 1) for planned, counted in found]
        within = sum(abs(error) <= 1 for error in errors)
        print(
            f"{engine}: mix {arguments.mix}, n = {len(errors)}: median error {statistics.median(errors):+.2f}%, "
            f"largest {max(errors, key=abs):+.2f}%, within 1%: {within} of {len(errors)}, "
            f"{time.monotonic() - began:.0f} s"
        )
        for note in notes:
            if "prompts of the mix" in note:
                print(f"  {note}")


if __name__ == "__main__":
    main()
