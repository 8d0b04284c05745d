"""Do the wheel and the sdist install, does the race run from the wheel, and how large is an installation?

Builds both, installs the wheel into fresh environments, and runs a race of two truth servers with the installed
program, outside this folder; on every other Python from 3.11 that the machine has, too. Exits with 1 if a goal is
missed. Needs the network, for the dependencies.

    python -m tests.bench.installed [--extra cluster] [--keep FOLDER] [--this-python]
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tests.bench.common import command_line

ROOT = Path(__file__).parents[2]
#: MB of the packages in an environment, as they come.
GOALS = {"": 30.0, "cluster": 80.0}
_LIMIT_S = 300
#: From the oldest that the package takes to the newest that anyone may have.
_MINORS = range(11, 20)


def run(*words: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command to its end and return its stdout; exit with its output if it fails."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        env={k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "LLMTUI"))} | environment,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))} exited with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def built(folder: Path) -> Path:
    """Build the sdist, and the wheel from the sdist; return the wheel after a look at what is in it."""
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=ROOT)
    (wheel,) = folder.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    wanted = ("llmtui/py.typed", "llmtui/config/default.toml", "llmtui/docs/python.md", "llmtui/docs/meanings.toml")
    missing = [name for name in wanted if name not in names]
    if missing or any(name.startswith("tests/") for name in names):
        sys.exit(f"the wheel lacks {missing}, or has the tests")
    return wheel


def other_pythons() -> list[Path]:
    """The newest python3.N of each other N that the search path or pyenv has, oldest N first."""
    found = []
    for minor in _MINORS:
        at_path = shutil.which(f"python3.{minor}")
        by_pyenv = (Path.home() / ".pyenv/versions").glob(f"3.{minor}.*/bin/python")
        newest_first = sorted(by_pyenv, key=lambda file: int(file.parts[-3].rsplit(".", 1)[1]), reverse=True)
        works = next((file for file in (*newest_first, *([Path(at_path)] if at_path else [])) if answers(file)), None)
        if minor != sys.version_info.minor and works:
            found.append(works)
    return found


def answers(python: Path) -> bool:
    """Whether this program runs and can make environments: pyenv's is a script that only names what to install."""
    done = subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True, timeout=_LIMIT_S, check=False)
    return done.returncode == 0


def environment(folder: Path, what: str, python: Path = Path(sys.executable)) -> Path:
    """A fresh environment of `python` with `what` installed; the folder of its programs."""
    run(python, "-m", "venv", folder, cwd=folder.parent)
    run(folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", what, cwd=folder)
    return folder / "bin"


def sizes_mb(folder: Path) -> tuple[float, float]:
    """The MB of the installed packages as they come, and with Python's compiled files; without pip and setuptools."""
    (packages,) = (folder / "lib").glob("python*/site-packages")
    own = ("pip", "setuptools", "_distutils_hack", "pkg_resources", "distutils-precedence")
    files = [
        file
        for top in packages.iterdir()
        if not top.name.startswith(own)
        for file in ([top] if top.is_file() else top.rglob("*"))
        if file.is_file()
    ]
    plain = sum(file.stat().st_size for file in files if file.suffix != ".pyc")
    return plain / 1e6, sum(file.stat().st_size for file in files) / 1e6


def raced(programs: Path, folder: Path) -> str:
    """Run a race of two truth servers, then read it back; return the line of the versions."""
    launch = [str(programs / "python"), "-m", "llmtui.accuracy.truth_server", "--port", "{port}", "--itl-ms"]
    lines = ["[run]", "iterations = 6", "warmup = 1", "max_tokens = 8"]
    for name, itl_ms in (("fast", "2"), ("slow", "3")):
        lines += ["[[backend]]", f"name = '{name}'", f"launch = {json.dumps([*launch, itl_ms])}"]
    (folder / "race.toml").write_text("\n".join(lines) + "\n")
    program, store = programs / "llmtui", str(folder / "history.db")
    table = run(
        program, "run", "race.toml", "--store", store, "--json", "run.json", cwd=folder, LLMTUI_STATE=str(folder)
    )
    if "fast" not in table or "slow" not in table:
        sys.exit(f"the race printed no table:\n{table}")
    code = (
        "import llmtui; print(len(llmtui.read_run('run.json').iterations()), len(llmtui.list_runs(store='history.db')))"
    )
    rows = run(programs / "python", "-c", code, cwd=folder).split()
    if rows != ["14", "1"]:
        sys.exit(f"read_run found {rows}, not 14 iterations and 1 run")
    return run(program, "--version", cwd=folder).replace("\n", "; ").rstrip("; ")


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--extra", action="append", default=[], help="measure this extra, too")
    parser.add_argument("--keep", type=Path, help="put wheel and sdist here")
    parser.add_argument("--this-python", action="store_true", help="race on this Python alone")
    options = parser.parse_args()
    missed = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        wheel = built(options.keep.absolute() if options.keep else folder / "dist")
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB", flush=True)
        for extra in ("", *options.extra):
            what = f"{wheel}[{extra}]" if extra else str(wheel)
            place = folder / (extra or "base")
            programs = environment(place, what)
            if not extra:
                print(raced(programs, place), flush=True)
            (mb, compiled), goal = sizes_mb(place), GOALS.get(extra)
            words = f"{extra or 'base'}: {mb:.1f} MB, {compiled:.1f} MB with compiled files"
            print(words + (f"; goal {goal:g} MB without" if goal else ""), flush=True)
            missed += [extra or "base"] if goal and mb > goal else []
        for number, python in enumerate([] if options.this_python else other_pythons()):
            place = folder / f"other{number}"
            print(raced(environment(place, str(wheel), python), place), flush=True)
    if missed:
        sys.exit(f"too large: {', '.join(missed)}")


if __name__ == "__main__":
    main()
