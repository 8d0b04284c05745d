"""What is left, and what of the user's is changed, after `kill -9` of llmtui at a random moment of a race?

    python -m tests.own.kills [--times 50] [--seed N] [--stand-ins]

Each trial is a race of the frameworks' own servers, started by a monitor on a terminal or by `llmtui run`, in a private
home folder. There, an Ollama of the user's runs with a model loaded. The servers are the real programs on PATH, or with
--stand-ins (and where llmtui's model file or all programs are missing) stand-ins for all. In turns these are killed:
the engine, the client, a guard, engine and guards at once, and all of llmtui at once. In every third trial the prepared
files are removed before, so that the kill also comes while a model is set up.

Then the user starts llmtui once more, on a config without servers. `left` counts the processes of the trial that still
run after that, `before it` those that ran until then. `files` are those outside cache, history and state that are new,
changed or gone. `user` are changes to the user's files, models, or running Ollama.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from llmtui.accuracy.pty_monitor import Screen
from llmtui.servers.own.launching import MAKERS
from tests.bench.common import command_line, heading
from tests.leftovers import carrying
from tests.leftovers import command_line as words_of
from tests.own.install import MODULES, StandIns
from tests.own.user_home import ALLOWED, UserHome, cached_model, changes, files, take
from tests.servers.gguf_files import WHOLE, gguf_head, tensor, with_weights

#: What is killed, in turns.
WHICH = ("engine", "client", "guard", "engine and guards", "all")
#: Marks the processes of a trial.
MARK = "LLMTUI_KILLS"
#: How long a run without its client may take, and how long processes may take to follow a killed one, in seconds.
ALONE_S, FOLLOW_S = 120.0, 20.0
#: After the kill of engine and guards, servers are stopped by the next command.
ORPHANS_S = 1.0
_POLL_S = 0.02
LLMTUI = [sys.executable, "-P", "-m", "llmtui"]


@dataclasses.dataclass
class Outcome:
    """The result of one kill. `at_s` is when, since the start of the client; `killed` is the number of processes."""

    which: str
    at_s: float = 0.0
    killed: int = 0
    servers: int = 0
    before: list[str] = dataclasses.field(default_factory=list)
    left: list[str] = dataclasses.field(default_factory=list)
    files: list[str] = dataclasses.field(default_factory=list)
    user: list[str] = dataclasses.field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.left or self.files or self.user)


class Place:
    """The folders of all trials, the programs and the user."""

    def __init__(self, root: Path, *, stand_ins: bool) -> None:
        self.root = root
        self.home = root / "home"
        for name in ("work", "tmp", "run"):
            (root / name).mkdir(mode=0o700)
        made = StandIns(root / "programs")
        names = [name for name in MAKERS if name in MODULES]
        real = {name: path for name in names if (path := shutil.which(name))}
        model = cached_model() if real and not stand_ins else None
        self.real = model is not None
        self.programs = real if self.real else {name: str(made.install(name)) for name in names}
        ollama = self.programs.get("ollama") or str(made.install("ollama"))
        if model is None:
            model = root / "tiny.gguf"
            # One tensor of 32 values of Q8_0, 34 bytes.
            model.write_bytes(with_weights(gguf_head(WHOLE, [tensor("a", [32], kind=8)]), 64, 64))
            self.model = f"model = {json.dumps(str(model))}\n"
        else:
            self.home.mkdir()
            take(model, self.home)
            self.model = ""
        self.user = UserHome(self.home, ollama, model)
        self.write_configs()
        self.before = self.files()

    def write_configs(self) -> None:
        """Write a race of all servers, and the config of the next command, which starts none."""
        race = f"[run]\niterations = 4\nwarmup = 1\nmax_tokens = 16\n{self.model}"
        for server, program in self.programs.items():
            race += f'[[backend]]\nname = "{server}"\nserver = "{server}"\nprogram = {json.dumps(program)}\n'
        (self.root / "work" / "race.toml").write_text(race)
        unreachable = '[run]\niterations = 1\nwarmup = 0\n[[backend]]\nname = "x"\nurl = "http://127.0.0.1:1"\n'
        (self.root / "work" / "next.toml").write_text(unreachable)

    def environment(self, mark: str) -> dict[str, str]:
        """Return the variables of llmtui in a trial."""
        private = ("LLMTUI_", "XDG_", "OLLAMA_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(private)}
        folders = {"XDG_RUNTIME_DIR": str(self.root / "run"), "TMPDIR": str(self.root / "tmp")}
        return {**kept, **self.user.environment(), **folders, MARK: mark}

    def files(self) -> dict[str, str]:
        """Return the files outside cache, history and state, with their digests."""
        return files(self.root, (*(f"home/{name}" for name in ALLOWED), "programs", "user-ollama.log"))

    def forget(self) -> None:
        """Remove what earlier races prepared: the re-encoded model, and all stores of own servers."""
        for path in (self.home / ".cache" / "llmtui" / "models").glob("*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif ".Q4_1." not in path.name and not path.name.startswith(".SmolLM2-135M-Instruct.Q4_1"):
                path.unlink(missing_ok=True)

    def age(self) -> None:
        """Make the folders of runs older: for some seconds a run without a socket counts as one that is starting."""
        for path in (self.root / "run" / "llmtui").glob("*"):
            with contextlib.suppress(FileNotFoundError):
                os.utime(path, (time.time() - 3600,) * 2)

    def run(self, config: str, mark: str) -> float:
        """Run `llmtui run` to its end. Return how long it took in seconds."""
        started = time.monotonic()
        with (self.root / "programs" / f".{config}.log").open("wb") as log:
            subprocess.run(
                [*LLMTUI, "run", config],
                cwd=self.root / "work",
                env=self.environment(mark),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=ALONE_S,
            )
        return time.monotonic() - started


class Client:
    """A monitor on a terminal, or `llmtui run`."""

    def __init__(self, place: Place, mark: str, *, monitor: bool) -> None:
        os.chdir(place.root / "work")
        self._screen: Screen | None = None
        self._process: subprocess.Popen[bytes] | None = None
        environment = place.environment(mark)
        if monitor:
            self._screen = Screen([*LLMTUI, "race.toml"], environment)
            self.pid = self._screen.pid
        else:
            null = subprocess.DEVNULL
            self._process = subprocess.Popen(
                [*LLMTUI, "run", "race.toml"], env=environment, stdin=null, stdout=null, stderr=null
            )
            self.pid = self._process.pid
        self._psutil = psutil.Process(self.pid)

    def lives(self) -> bool:
        """Read the terminal, and return whether the client runs."""
        if self._screen is not None:
            self._screen.drain()
        with contextlib.suppress(psutil.Error):
            return self._psutil.is_running() and self._psutil.status() != psutil.STATUS_ZOMBIE
        return False

    def wait(self, until: float) -> None:
        """Read the terminal until then, or until the client ends."""
        while self.lives() and time.monotonic() < until:
            time.sleep(_POLL_S)

    def leave(self) -> None:
        """Leave a monitor; `run` ends by itself."""
        until = time.monotonic() + FOLLOW_S
        while self.lives() and time.monotonic() < until:
            if self._screen is not None:
                with contextlib.suppress(OSError):
                    self._screen.press(b"q")
            time.sleep(0.2)

    def close(self) -> None:
        if self._screen is not None:
            self._screen.close(now=True)
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def kind(process: psutil.Process) -> str:
    """Return "engine", "guard", "llmtui" or "server"."""
    words = words_of(process)
    if any(word.endswith("guard.py") for word in words):
        return "guard"
    if "llmtui.engine" in words:
        return "engine"
    return "llmtui" if "llmtui" in words else "server"


def wait_gone(mark: str, client: Client, bound_s: float) -> list[str]:
    """Wait until no process of the trial but its client runs. Return the command lines of those that are left."""
    until = time.monotonic() + bound_s
    while True:
        client.lives()
        left = [process for process in carrying(MARK, mark) if process.pid != client.pid and words_of(process)]
        if not left or time.monotonic() > until:
            return [" ".join(words_of(process))[:200] for process in left]
        time.sleep(_POLL_S)


def victims(which: str, mark: str, client: Client) -> list[psutil.Process]:
    """Return the processes to kill, none if there is none of that kind yet."""
    if which == "client":
        return [psutil.Process(client.pid)]
    found = [(kind(process), process) for process in carrying(MARK, mark)]
    if which == "all":
        return [process for what, process in found if what != "server"]
    if which == "guard":
        return [process for what, process in found if what == "guard"][:1]
    wanted = ("engine", "guard") if which == "engine and guards" else ("engine",)
    return [process for what, process in found if what in wanted]


def kill_one(place: Place, which: str, chance: random.Random, span_s: float) -> Outcome | None:
    """Run one trial. Return None if the race ended before there was such a process."""
    mark = secrets.token_hex(8)
    outcome = Outcome(which)
    started = time.monotonic()
    client = Client(place, mark, monitor=chance.random() < 0.5)
    try:
        client.wait(started + chance.uniform(0, span_s))
        until = started + 2 * span_s
        while not (found := victims(which, mark, client)) and client.lives() and time.monotonic() < until:
            time.sleep(_POLL_S)
        if not found or not client.lives():
            return None
        outcome.at_s = time.monotonic() - started
        outcome.killed = len(found)
        outcome.servers = sum(kind(process) == "server" for process in carrying(MARK, mark))
        # Stopped first, so that none acts on the end of another.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in found:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(number)
        # Without its client, the race goes on to its end. Without a guard too, and then a monitor stays.
        if which == "guard":
            client.wait(time.monotonic() + span_s)
            client.leave()
        bound_s = ORPHANS_S if which in ("engine and guards", "all") else FOLLOW_S if which == "engine" else ALONE_S
        outcome.before = wait_gone(mark, client, bound_s)
        client.leave()
    finally:
        client.close()
    place.age()
    place.run("next.toml", mark)
    outcome.left = wait_gone(mark, client, FOLLOW_S)
    now = place.files()
    outcome.files = [word for word in changes(place.before, now) if not word.partition(" ")[2].startswith("home/")]
    place.before = now
    outcome.user = place.user.touched()
    return outcome


def kills(place: Place, count: int, seed: int) -> Iterator[Outcome]:
    """Run a race without a kill, then `count` trials."""
    mark = secrets.token_hex(8)
    span_s = place.run("race.toml", mark)
    span_s = min(span_s, place.run("race.toml", mark))
    for number in range(count):
        chance = random.Random(seed * 1_000_003 + number)
        outcome = None
        while outcome is None:
            if number % 3 == 2:
                place.forget()
            outcome = kill_one(place, WHICH[number % len(WHICH)], chance, span_s)
        yield outcome


def report(outcomes: list[Outcome]) -> None:
    """Print a table, by what was killed."""
    print(
        f"{'killed':18} {'n':>4} {'at (median)':>12} {'servers':>8} "
        f"{'before it':>10} {'left':>5} {'files':>6} {'user':>5}"
    )
    for which in (*WHICH, "any"):
        of = [one for one in outcomes if which in (one.which, "any")]
        if of:
            print(
                f"{which:18} {len(of):4} {statistics.median(one.at_s for one in of):10.2f} s "
                f"{sum(one.servers for one in of):8} {sum(len(one.before) for one in of):10} "
                f"{sum(len(one.left) for one in of):5} {sum(len(one.files) for one in of):6} "
                f"{sum(len(one.user) for one in of):5}"
            )


def main() -> None:
    """Kill and count."""
    parser = command_line(__doc__)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--stand-ins", action="store_true")
    arguments = parser.parse_args()
    print(heading(f"kill -9 at {arguments.times} random moments, seed {arguments.seed}"), flush=True)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        place = Place(Path(name).resolve(), stand_ins=arguments.stand_ins)
        try:
            print(f"{'real servers' if place.real else 'stand-ins'}: {', '.join(place.programs)}")
            print(f"the user's Ollama listens on {place.user.port}\n", flush=True)
            for outcome in kills(place, arguments.times, arguments.seed):
                outcomes.append(outcome)
                if not outcome.clean:
                    print(f"kill {len(outcomes)}: {outcome}", flush=True)
        finally:
            place.user.close()
            os.chdir("/")
    report(outcomes)
    sys.exit(not all(one.clean for one in outcomes))


if __name__ == "__main__":
    main()
