"""The command line, mostly in real processes: output, exit codes, and the message for each usage error."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import platform
import pty
import select
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from llmtui import __version__
from llmtui.cli.app import cli
from llmtui.cli.group import COMMAND_LINES, EXAMPLES
from tests.cli import in_process
from tests.leftovers import carrying

LLMTUI = [sys.executable, "-m", "llmtui"]


def llmtui(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LLMTUI, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        check=False,
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Two truth servers, three iterations."""
    launch = (
        f"launch = ['{sys.executable}', '-m', 'llmtui.accuracy.truth_server', '--port', '{{port}}', '--itl-ms', '1']\n"
    )
    path = tmp_path / "race.toml"
    path.write_text(
        "[run]\niterations = 3\nwarmup = 1\nmax_tokens = 4\n"
        f"[[backend]]\nname = 'one'\nlanguage = 'Python'\n{launch}[[backend]]\nname = 'two'\n{launch}"
    )
    return path


@pytest.mark.slow
def test_run_prints_iterations_and_table_and_writes_files(config: Path, tmp_path: Path) -> None:
    results, iterations, everything = tmp_path / "r.csv", tmp_path / "i.csv", tmp_path / "all.json"
    done = llmtui(
        "run", str(config), "--csv", str(results), "--iterations-csv", str(iterations), "--json", str(everything)
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sum("  4 tokens" in line for line in lines) == 8
    # The order within a round is random.
    assert ["one", "warm-up", "1/1"] in [line.split()[:3] for line in lines[:8]]
    table = lines[8:]
    # The frameworks are only the names of the backends.
    assert table[1].split()[:3] == ["backend", "language", "model"]
    assert "one: ready: truth" in done.stderr
    with results.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["backend"], r["iterations"], r["errors"]) for r in rows] == [("one", "3", "0"), ("two", "3", "0")]
    assert float(rows[0]["latency_median_s"]) > 0.05
    with iterations.open(newline="") as file:
        assert sorted(r["phase"] for r in csv.DictReader(file)) == ["measured"] * 6 + ["warmup"] * 2
    assert [len(b["iterations"]) for b in json.loads(everything.read_text())["backends"]] == [4, 4]


def test_options_override_the_config(config: Path) -> None:
    done = llmtui("run", str(config), "--only", "two", "--iterations", "1", "--warmup", "0", "-q")
    assert done.returncode == 0
    assert "1/1 " not in done.stdout
    assert "  two" in done.stdout and "  one " not in done.stdout


@pytest.mark.slow
def test_check_prints_each_backend(config: Path) -> None:
    done = llmtui("check", str(config))
    assert done.returncode == 0
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [["one", "answers:"], ["two", "answers:"]]
    with config.open("a") as file:
        file.write("[[backend]]\nname = 'gone'\nframework = 'llamafile'\nurl = 'http://127.0.0.1:9'\n")
    done = llmtui("check", str(config))
    assert done.returncode == 1
    assert "gone  nothing answers at 127.0.0.1:9: start it: ./model.llamafile --server --port 9" in done.stdout


@pytest.mark.slow
def test_an_unreachable_backend_is_reported_with_exit_code_1(config: Path) -> None:
    with config.open("a") as file:
        file.write("[[backend]]\nname = 'gone'\nurl = 'http://127.0.0.1:9'\n")
    done = llmtui("run", str(config))
    assert done.returncode == 1
    assert done.stdout.count("  4 tokens") == 8
    assert "gone: not reachable: nothing answers at 127.0.0.1:9" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nope.toml"], "llmtui: nope.toml: no such config file"),
        (["chek"], "llmtui: no command, file or framework is named 'chek'; did you mean: llmtui check"),
        (["run", "--only", "zzz"], "llmtui: the built-in default: no backend is named 'zzz'"),
        (["run", "--iterations", "0"], "llmtui: --iterations: expected 1 to 1000000, got 0"),
        (["run", "--csv", "no/such/folder/x.csv"], "llmtui: cannot write no/such/folder/x.csv: the folder "),
        ([], "llmtui: the monitor needs a terminal; for plain text, try: llmtui run"),
    ],
)
def test_wrong_usage_is_one_line_with_exit_code_2(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    done = in_process.llmtui(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_an_unknown_key_name_in_ui_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[ui]\nkeys = { rerum = 'r' }\n[[backend]]\nname = 'a'\nurl = 'http://127.0.0.1:9'\n")
    done = in_process.llmtui("run", str(path))
    assert done.returncode == 2
    assert "[ui]: keys: " in done.stderr and 'did you mean "rerun"' in done.stderr


@pytest.mark.slow
def test_control_c_prints_the_table_and_stops_the_servers(config: Path) -> None:
    command = [*LLMTUI, "run", str(config), "--iterations", "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if " 1/1000" in line:
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "vs best" in out
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_closed_pipe_prints_no_traceback(config: Path) -> None:
    with subprocess.Popen([*LLMTUI, "run", str(config)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
        process.wait(timeout=30)
    assert b"Traceback" not in errors


@pytest.mark.slow
def test_every_help_fits_a_screen() -> None:
    for command in ([], *([name] for name in cli.commands)):
        text = llmtui(*command, "--help").stdout
        assert 0 < len(text.splitlines()) <= 24
        assert max(len(line) for line in text.splitlines()) <= 80


@pytest.mark.slow
def test_the_monitor_runs_in_a_terminal_and_leaves_the_table(config: Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execv(sys.executable, [*LLMTUI, str(config)])
    seen = b""
    try:
        while select.select([terminal], [], [], 30)[0]:
            try:
                seen += os.read(terminal, 65536)
            except OSError:
                break  # on Linux the end of a pseudo-terminal is an error
            if b"8/8" in seen:
                # If the run is not quite done, the first q only asks and the next one answers.
                with contextlib.suppress(OSError):
                    os.write(terminal, b"q")
        else:
            os.kill(pid, signal.SIGKILL)
    finally:
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
    after = seen.rpartition(b"\x1b[?1049l")[2]
    assert b"vs best" in after and b"one" in after
    assert b"Traceback" not in seen


@pytest.mark.slow
def test_a_full_disk_behind_stdout_is_reported(config: Path) -> None:
    # Buffered, as usual: the output is written at the end.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*LLMTUI, "run", str(config)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            check=False,
        )
    assert done.returncode == 1
    assert "llmtui: cannot write the output: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


@pytest.mark.slow
def test_a_file_named_dash_is_stdout(config: Path) -> None:
    done = llmtui("run", str(config), "--iterations", "1", "--csv", "-")
    assert done.returncode == 0
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [r["backend"] for r in rows] == ["one", "two"]


def test_one_file_for_two_outputs_is_refused(config: Path, tmp_path: Path) -> None:
    done = llmtui("run", str(config), "--csv", str(tmp_path / "x"), "--json", str(tmp_path / "x"))
    assert done.returncode == 2
    assert done.stderr == "llmtui: two outputs are the same file; name a different file for each\n"


#: Runs llmtui after Python's own start, in which an interruption can be lost.
FROM_ITS_FIRST_LINE = """
from llmtui.__main__ import main
from llmtui.interrupts import ExitOnInterrupt
with ExitOnInterrupt():
    print("up", flush=True)
    main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("command", ["run", "check"])
def test_control_c_at_any_early_moment_exits_cleanly(config: Path, short_path: Path, command: str, times: int) -> None:
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(short_path), "TMPDIR": str(short_path)}
    argv = [sys.executable, "-c", FROM_ITS_FIRST_LINE, command, str(config)]
    argv += ["--iterations", "500"] if command == "run" else []
    for delay_ms in (0, 5, 10, 20, 40, 60, 90, 120, 180, 240, 300, 400):
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as done:
            assert done.stdout is not None and done.stdout.readline() == "up\n"
            # An interruption must be handled at any moment.
            time.sleep(delay_ms / 1000)
            for _ in range(times):
                done.send_signal(signal.SIGINT)
            _, err = done.communicate(timeout=60)
        assert "Traceback" not in err and "Exception" not in err and "Warning" not in err, (delay_ms, err)
        # `check` may be done by then.
        assert done.returncode == 130 or (command == "check" and done.returncode == 0), (delay_ms, err)
    assert psutil.wait_procs(carrying("XDG_RUNTIME_DIR", str(short_path)), timeout=30)[1] == []
    folder = short_path / "llmtui"
    assert not folder.exists() or list(folder.iterdir()) == []
    assert [p for p in short_path.iterdir() if p != folder] == []


@pytest.mark.parametrize("command", ["run", "check", "monitor"])
def test_control_c_while_the_config_is_read_exits(config: Path, command: str) -> None:
    """msgspec suppresses exceptions while it inspects the config's types."""
    program = f"""
import contextlib, os, signal, time
from llmtui.config import schema as config
read = config.load
def load(*arguments, **more):
    with contextlib.suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    return read(*arguments, **more)
config.load = load
{FROM_ITS_FIRST_LINE}
"""
    done = subprocess.run(
        [sys.executable, "-c", program, command, str(config)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "up\n", "llmtui: interrupted\n")


def test_check_fails_for_the_wrong_protocol(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "llmtui.accuracy.truth_server", "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            path = tmp_path / "c.toml"
            path.write_text(f"[[backend]]\nname = 'w'\nprotocol = 'tgi'\nurl = '{server.stdout.readline().strip()}'\n")
            done = in_process.llmtui("check", str(path))
        finally:
            server.terminate()
    assert done.returncode == 1
    assert "HTTP 404 at http://" in done.stdout and "check url and protocol" in done.stdout


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("llmtui hist", ["plain,history"]),
        ("llmtui compare --gat", ["plain,--gate"]),
        ("llmtui run --max", ["plain,--max-tokens"]),
        ("llmtui race.toml --iter", ["plain,--iterations"]),
        ("llmtui run race.t", ["file,race.t"]),
    ],
)
def test_shell_completion_offers_commands_options_and_files(words: str, completions: list[str]) -> None:
    last = str(len(words.split()) - 1)
    done = in_process.llmtui(COMP_WORDS=words, COMP_CWORD=last, _LLMTUI_COMPLETE="bash_complete")
    assert (done.returncode, done.stderr, done.stdout.splitlines()) == (0, "", completions)


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", "complete -o nosort -F _llmtui_completion llmtui"),
        ("zsh", "compdef _llmtui_completion llmtui"),
        ("fish", "complete --no-files --command llmtui"),
    ],
)
def test_completion_prints_the_script_of_a_shell(shell: str, line: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert line in result.output and f"_LLMTUI_COMPLETE={shell}_complete" in result.output


def test_the_version_comes_first_and_then_what_it_measures_with() -> None:
    first, packages, system = CliRunner().invoke(cli, ["--version"]).output.splitlines()
    assert first == f"llmtui {__version__}"
    for part in (f"httpx {metadata.version('httpx')}", "httptools ", f"Python {platform.python_version()}"):
        assert part in packages
    assert ("stamped by the kernel" in system) == (sys.platform == "linux")


def test_shell_completion_prints_a_script_for_bash() -> None:
    environment = {**os.environ, "_LLMTUI_COMPLETE": "bash_source"}
    done = subprocess.run(LLMTUI, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "complete -o nosort -F _llmtui_completion llmtui" in done.stdout


def test_the_main_help_lists_every_command() -> None:
    listed = [name for names, _ in COMMAND_LINES for name in names]
    shown = [name for name, command in cli.commands.items() if not command.hidden]
    assert sorted([*listed, "monitor"]) == sorted(shown)
    assert EXAMPLES.keys() <= cli.commands.keys()


def test_help_as_a_word_is_the_help() -> None:
    runner = CliRunner()
    assert runner.invoke(cli, ["help"]).output == runner.invoke(cli, ["--help"]).output
    assert runner.invoke(cli, ["help", "run"]).output == runner.invoke(cli, ["run", "--help"]).output
    assert "Exit codes: 0 success, 1 failure" in runner.invoke(cli, ["help"]).output
