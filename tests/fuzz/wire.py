"""Coverage-guided fuzzing of all parsers of foreign input (atheris, libFuzzer): `python -m tests.fuzz.wire`.

Each target runs for --seconds in a process of its own, from a corpus of what real servers sent. A crash, or an input
that takes over 2 s, is written to --artifacts and makes the exit code 1. `--replay TARGET FILE` runs one input.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HANG_S = 2
MAX_INPUT_BYTES = 4096


def fuzz(target: str, seconds: int, corpus: Path, artifacts: Path, slowest: Path) -> None:
    """Run the fuzzer of one target in this process; does not return."""
    import atheris

    with atheris.instrument_imports(include=["llmtui", "tomli"]):
        from tests.fuzz.targets import TARGETS
    run, worst = TARGETS[target], 0.0

    def one(data: bytes) -> None:
        nonlocal worst
        began = time.perf_counter()
        run(data)
        took_s = time.perf_counter() - began
        if took_s > worst:
            worst = took_s
            slowest.write_text(json.dumps({"seconds": took_s, "bytes": len(data)}))

    options = [f"-max_total_time={seconds}", f"-timeout={HANG_S}", f"-max_len={MAX_INPUT_BYTES}", "-rss_limit_mb=2048"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={artifacts}/{target}-", "-verbosity=1", str(corpus)], one)
    atheris.Fuzz()


def supervise(target: str, seconds: int, artifacts: Path) -> bool:
    """Fuzz one target in a child process and print a line. Return False if it crashed or hung."""
    from tests.fuzz.targets import seeds

    with tempfile.TemporaryDirectory(prefix="llmtui-fuzz-") as folder:
        corpus, slowest = Path(folder) / "corpus", Path(folder) / "slowest.json"
        corpus.mkdir()
        for number, seed in enumerate(seeds(target)):
            (corpus / f"seed-{number}").write_bytes(seed)
        command = [sys.executable, "-m", "tests.fuzz.wire", "--become", target, folder]
        done = subprocess.run(
            [*command, "--seconds", str(seconds), "--artifacts", str(artifacts)],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        worst = json.loads(slowest.read_text()) if slowest.exists() else {"seconds": 0.0, "bytes": 0}
        stored = len(list(corpus.iterdir()))
    runs = re.findall(r"^(?:Done |#)(\d+)", done.stderr, re.MULTILINE)
    slow = f"slowest {worst['seconds'] * 1e3:.1f} ms ({worst['bytes']} bytes)"
    peak = max(map(int, re.findall(r"\brss: (\d+)Mb", done.stderr)), default=0)
    ended = "" if done.returncode == 0 else ", FAILED:"
    print(
        f"{target:8} {runs[-1] if runs else 0:>9} executions, {stored} inputs stored, {slow}, peak {peak} MB{ended}",
        flush=True,
    )
    if done.returncode:
        print(done.stdout + done.stderr[-4000:], flush=True)
    return done.returncode == 0


def main() -> None:
    """Fuzz the selected targets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="of each target")
    parser.add_argument("--target", action="append", help="only this one (may be repeated)")
    parser.add_argument("--artifacts", type=Path, default=Path("fuzz-artifacts"))
    parser.add_argument("--replay", nargs=2, metavar=("TARGET", "FILE"))
    parser.add_argument("--become", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.become:
        target, folder = arguments.become[0], Path(arguments.become[1])
        fuzz(target, arguments.seconds, folder / "corpus", arguments.artifacts, folder / "slowest.json")
    from tests.fuzz.targets import TARGETS

    if arguments.replay:
        TARGETS[arguments.replay[0]](Path(arguments.replay[1]).read_bytes())
        return
    arguments.artifacts.mkdir(parents=True, exist_ok=True)
    good = [supervise(target, arguments.seconds, arguments.artifacts) for target in arguments.target or TARGETS]
    if not any(arguments.artifacts.iterdir()):
        arguments.artifacts.rmdir()
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
