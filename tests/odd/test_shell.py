"""Runs whose streams are closed, full or broken, or in an encoding without the letters of the names."""

from __future__ import annotations

import csv
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtui.store.listing import RunRow
from llmtui.store.open import open_store
from llmtui.text.cells import cells_wide
from tests.odd.running import config_for
from tests.odd.server import odd

pytestmark = pytest.mark.slow

LLMTUI = f"{shlex.quote(sys.executable)} -m llmtui"
WIDE = "模型 🙂"


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash in `folder`, with a history of its own; `llmtui` stands for the program."""
    environment = {**os.environ, "LLMTUI_STORE": str(folder / "history.db"), **environment}
    line = command.replace("llmtui ", LLMTUI + " ")
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=90,
        check=False,
    )


def write_config(folder: Path, url: str, *names: str) -> None:
    rest = "".join(f'\n[[backend]]\nname = "{name}"\nurl = "{url}"\n' for name in names)
    (folder / "c.toml").write_text(config_for(url, rest))


def runs(folder: Path) -> list[RunRow]:
    store, _ = open_store(folder / "history.db")
    with store:
        return list(store.runs(9))


@pytest.mark.parametrize(
    ("streams", "code", "said"),
    [
        # pixelb/crudini issue 82, streamlink/streamlink pull request 6197: Python has no sys.stdout then.
        (">&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        ("> /dev/full", 1, "llmtui: cannot write the output: No space left on device\n"),
        ("2> /dev/full", 0, ""),
        ("| true", 1, ""),
        # Where stdout is the only place of what was asked for, a closed one is a failure (crudini, pull request 84).
        ("--csv - >&-", 1, "llmtui: cannot write the output: stdout is closed\n"),
        ("--csv - > /dev/full", 1, "llmtui: cannot write the output: No space left on device\n"),
    ],
)
def test_a_run_without_a_stream_is_measured(streams: str, code: int, said: str, tmp_path: Path) -> None:
    with odd() as server:
        write_config(tmp_path, server.url)
        done = shell(f"llmtui run c.toml --markdown m.md {streams}", tmp_path)
    assert done.returncode == code, done.stderr
    assert done.stderr.decode().endswith(said)
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr
    assert "| odd" in (tmp_path / "m.md").read_text().replace("`", "")
    assert [row.state for row in runs(tmp_path)] == ["done"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a config of a server that is up, and the history of one run of it."""
    folder = tmp_path_factory.mktemp("measured")
    with odd() as server:
        write_config(folder, server.url)
        assert shell("llmtui run c.toml -q", folder).returncode == 0
        yield folder


@pytest.mark.parametrize(
    "command",
    ["history", "--help", "export R", "check c.toml"],
)
def test_every_command_survives_a_lost_output(command: str, measured: Path) -> None:
    command = command.replace("R", runs(measured)[0].run)
    closed = shell(f"llmtui {command} >&-", measured)
    full = shell(f"llmtui {command} > /dev/full", measured)
    broken = shell(f"llmtui {command} | true", measured)
    assert closed.returncode == (1 if command.startswith("export") else 0), closed.stderr
    assert (full.returncode, broken.returncode) == (1, 1)
    assert full.stderr.decode().endswith("llmtui: cannot write the output: No space left on device\n")
    for done in (closed, full, broken):
        assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr


def test_a_pipe_can_be_named_as_a_file(tmp_path: Path) -> None:
    with odd() as server:
        write_config(tmp_path, server.url)
        named = shell("llmtui run c.toml --csv /dev/stdout | cat", tmp_path)
        into = shell(f"llmtui export {runs(tmp_path)[0].run} --csv >(cat > got.csv; echo end >&2)", tmp_path)
    assert (named.returncode, into.returncode) == (0, 0), into.stderr
    assert [row["backend"] for row in csv.DictReader(named.stdout.decode().splitlines())] == ["odd"]
    # Nothing else is on stdout.
    assert len(named.stdout.splitlines()) == 2
    assert into.stderr == b"end\n"
    assert (tmp_path / "got.csv").read_bytes() == named.stdout


@pytest.mark.parametrize(
    "environment",
    [
        # wordfence/wordfence-cli issue 232.
        {"PYTHONIOENCODING": "latin-1"},
        # microsoft/winml-cli issue 535: the first emoji ended the command.
        {"PYTHONIOENCODING": "cp1252:strict"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "utf-16"},
    ],
)
def test_letters_that_the_encoding_lacks_are_replaced(environment: dict[str, str], tmp_path: Path) -> None:
    encoding = environment.get("PYTHONIOENCODING", "ascii").partition(":")[0]
    with odd() as server:
        write_config(tmp_path, server.url, WIDE, "é…")
        table = shell("llmtui run c.toml", tmp_path, **environment)
        data = shell(f"llmtui run c.toml --only '{WIDE}' --only 'é…' --csv -", tmp_path, **environment)
        checked = shell("llmtui check c.toml", tmp_path, **environment)
    assert (table.returncode, data.returncode, checked.returncode) == (0, 0, 0), table.stderr + data.stderr
    # Data for other programs are UTF-8 whatever the encoding of the terminal is.
    assert [row["backend"] for row in csv.DictReader(data.stdout.decode("utf-8").splitlines())] == [WIDE, "é…"]
    wide = WIDE if encoding == "utf-16" else "???? ??"
    rows = [line for line in table.stdout.decode(encoding).splitlines() if " TTFT " in line and "/3" in line]
    assert any(row.startswith(wide) for row in rows)
    # The columns stay where they are.
    assert len({cells_wide(row[: row.index("/3")]) for row in rows}) == 1
    answers = checked.stdout.decode(encoding).splitlines()
    assert len({cells_wide(row[: row.index("answers:")]) for row in answers}) == 1
    assert {"ascii": "e.", "latin-1": "é."}.get(encoding, "é…") in answers[2]


def test_a_config_in_another_folder_launches_its_server(tmp_path: Path) -> None:
    # 89jobrien/agentlint issue 31: such a command works in one working folder and breaks in all others.
    for name in ("conf", "work", "home/bin"):
        (tmp_path / name).mkdir(parents=True)
    script = f'#!/bin/sh\nexec {sys.executable} -P -m llmtui.accuracy.truth_server --port "$1"\n'
    for path in (tmp_path / "conf/serve it.sh", tmp_path / "home/bin/serve"):
        path.write_text(script)
        path.chmod(0o700)
    launches = {"beside": "./serve it.sh", "home": "~/bin/serve", "none": "./none.sh"}
    (tmp_path / "conf/c.toml").write_text(
        "".join(f'[[backend]]\nname = "{name}"\nlaunch = ["{word}", "{{port}}"]\n' for name, word in launches.items())
    )
    done = shell("cd work && llmtui check ../conf/c.toml", tmp_path, HOME=str(tmp_path / "home"))
    lines = done.stdout.decode().splitlines()
    assert ["answers:" in line for line in lines] == [True, True, False], done.stderr
    assert f"{tmp_path}/conf/none.sh does not exist" in lines[2]


def test_a_table_of_wide_names_is_aligned(tmp_path: Path) -> None:
    family = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
    names = [WIDE, "한글 서버", "e\u0301te\u0301", "ｆｕｌｌ", "\u1112\u1161\u11ab", "⚠\ufe0f", family]
    with odd() as server:
        write_config(tmp_path, server.url, *names)
        done = shell("llmtui run c.toml", tmp_path)
    lines = done.stdout.decode().splitlines()
    rows = [line for line in lines if " TTFT " in line and "/3" in line]
    # On a busy machine an iteration may be lost, or measured again.
    assert len(rows) > len(names)
    assert [backend.name for backend in runs(tmp_path)[0].backends] == ["odd", *names]
    assert len({cells_wide(row[: row.index("/3")]) for row in rows}) == 1
    title = next(line for line in lines if line.split()[:1] == ["backend"])
    table = lines[lines.index(title) + 1 :][:8]
    assert {cells_wide(row) for row in table} == {cells_wide(title)}
