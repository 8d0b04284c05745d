"""How long does the first prompt of a large file take, and how much memory?

    python -m tests.bench.prompt_file [--lines 1000000] [--words 150] [--folder FOLDER]

Writes a file of JSON Lines, then reads it in new processes as a run does: the check before the run, and the worker that
gets its first slice, shuffled and in order, which then asks 1,000 prompts. The check finds where the prompts are, and
the worker gets that with its slice. "resumed" is a run that is continued: nothing was found before. Times are in s, the
memory is what the process needs beyond that for a file of ten lines (VmHWM). Goals: the first prompt within 1 s, also
of a resumed run, and no more memory for a million lines than for ten thousand. "mix chat" asks as many
synthetic prompts as the file has lines, without a file.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

_READER = """
import sys, time
from pathlib import Path
from llmtui.load.prompt_files.inspection import inspected
from llmtui.load.prompt_files.source import index_for, use_index
from llmtui.load.sources import open_source
from llmtui.model import Prompts
path, what = sys.argv[1:]
index = Path(path + ".index")
began = time.monotonic()
cpu = time.process_time()
if what == "check":
    found = inspected(Prompts(file=path)).facts.count
    first, last = time.monotonic() - began, 0.0
    used = time.process_time() - cpu
    index.write_bytes(index_for(Prompts(file=path)))
else:
    if what == "shuffled": use_index(Prompts(file=path), index.read_bytes())
    sample = "in order" if what == "in order" else "shuffled"
    mix = what.removeprefix("mix ") if what.startswith("mix ") else ""
    source = open_source(Prompts(mix=mix) if mix else Prompts(file=path, sample=sample), "seed")
    last_one = int(Path(path).stem) if mix else 1000
    source.prompt(1)
    first = time.monotonic() - began
    used = time.process_time() - cpu
    began = time.monotonic()
    for number in range(2, last_one + 1): source.prompt(number)
    found, last = number, (time.monotonic() - began) / number
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(first, used, last, peak, found)
"""


def main() -> None:
    """Write a file, read it, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--words", type=int, default=150)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        print(f"{'lines':>10} {'MB':>7}  {'what':9} {'first s':>8} {'CPU s':>6} {'each us':>8} {'MB more':>8}")
        base: dict[str, int] = {}
        for lines in (10, 10_000, options.lines):
            path = _written(Path(folder) / f"{lines}.jsonl", lines, options.words)
            for what in ("check", "shuffled", "resumed", "in order", "mix chat"):
                first, used, each, peak, _ = _read(path, what)
                base.setdefault(what, int(peak))
                size, more = os.path.getsize(path) / 1e6, (int(peak) - base[what]) / 1024
                print(
                    f"{lines:>10,} {size:>7.1f}  {what:9} {float(first):>8.3f} {float(used):>6.3f} "
                    f"{float(each) * 1e6:>8.0f} {more:>8.1f}",
                    flush=True,
                )


def _written(path: Path, lines: int, words: int) -> Path:
    """Write prompts of about this many words; the lines are some thousand different ones."""
    draw = random.Random(1)
    some = [
        json.dumps({"prompt": " ".join(f"word{draw.randrange(5000)}" for _ in range(draw.randint(1, 2 * words)))})
        for _ in range(2_000)
    ]
    with path.open("w") as file:
        for number in range(lines):
            file.write(some[number % len(some)] + "\n")
    return path


def _read(path: Path, what: str) -> list[str]:
    command = [sys.executable, "-c", _READER, str(path), what]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


if __name__ == "__main__":
    main()
