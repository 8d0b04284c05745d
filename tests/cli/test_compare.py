"""`compare`: output and exit codes for runs of a real history."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llmtui.accuracy.pty_monitor import Screen
from llmtui.cli.compare import compare_runs
from llmtui.model.errors import CommandError
from llmtui.text.cells import cells_wide
from tests.cli import in_process
from tests.cli.histories import add

LLMTUI = [sys.executable, "-m", "llmtui"]


def llmtui(store: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LLMTUI_STORE": str(store), "COLUMNS": "80"}
    return subprocess.run([*LLMTUI, *arguments], capture_output=True, text=True, env=environment, check=False)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Run aaaa ("base"), and run bbbb in which `a` is slower, `b` faster, and `c` unreachable."""
    file = tmp_path / "history.db"
    add(file, "aaaa1111", {"a": 0.5, "b": 0.5, "c": 0.5, "d": 0.5, "e": 0.5, "old": 0.5}, label="base")
    add(file, "bbbb2222", {"a": 0.54, "b": 0.4, "c": 0, "d": 0.5, "e": 0.5, "new": 0.5})
    return file


@pytest.mark.slow
def test_two_runs_of_real_servers_are_compared(tmp_path: Path) -> None:
    store = tmp_path / "history.db"
    for itl_ms in (1, 3):
        launch = [sys.executable, "-m", "llmtui.accuracy.truth_server", "--port", "{port}", "--ttft-ms", "5"]
        config = tmp_path / "race.toml"
        config.write_text(
            "[run]\niterations = 8\nwarmup = 1\nmax_tokens = 16\n"
            f"[[backend]]\nname = 'one'\nlaunch = {json.dumps([*launch, '--itl-ms', str(itl_ms)])}\n"
            f"[[backend]]\nname = 'two'\nlaunch = {json.dumps([*launch, '--itl-ms', '1'])}\n"
        )
        assert llmtui(store, "run", str(config), "-q").returncode == 0
    second, first = (line.split()[0] for line in llmtui(store, "history").stdout.splitlines())
    done = llmtui(store, "compare", first, second, "--gate", "20", "--json", str(tmp_path / "c.json"))
    assert done.returncode == 1
    assert "one: B takes " in done.stdout and "x as long as A, relative to two (95%: " in done.stdout
    assert "note launch: one: different launch commands: A --itl-ms 1, B --itl-ms 3" in done.stdout
    assert "two: the others are compared with it, as its setup is the same in both runs" in done.stdout
    assert done.stderr.startswith("llmtui: gate of 20% failed: one: B takes ")
    one, two = json.loads((tmp_path / "c.json").read_text())["backends"]
    assert one["shown"] == "slower" and one["relative_low"] > 1.2 and (one["n_a"], one["n_b"]) == (8, 8)
    assert (one["relative_to"], two["shown"], two["relative"]) == (["two"], None, None)
    back = llmtui(store, "compare", second, first, "--gate", "20")
    assert (back.returncode, back.stderr) == (0, "llmtui: gate of 20% passed, relative to the other backends\n")
    assert "one: A takes " in back.stdout


def test_the_table_is_aligned_and_every_backend_has_a_sentence(
    history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare_runs("base", "bbbb", str(history)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0].startswith("A: run aaaa1111 [base], done, started 2026-11-22 15:00 UTC, llmtui 0.1.0")
    at = lines.index("backend  n A  n B  median A s  median B s  slowdown  relative")
    head = " ".join(" ".join(lines[at - 3 : at]).split())
    assert head.endswith("all pairs of samples, not from these two medians); relative: to the other backends")
    assert lines[at + 1 : at + 6] == [
        "a         10   10       0.500       0.540  1.08x     1.08x (1.08 to 1.08)",
        "b         10   10       0.500       0.400  0.80x     0.80x (0.80 to 0.80)",
        "c         10    0       0.500           -  -         -",
        "d         10   10       0.500       0.500  1.00x     1.00x (1.00 to 1.00)",
        "e         10   10       0.500       0.500  1.00x     1.00x (1.00 to 1.00)",
    ]
    assert lines[at + 7 : at + 14] == [
        "a: B takes 1.08x as long as A, relative to d and e (95%: 1.08 to 1.08)",
        "b: A takes 1.25x as long as B, relative to d and e (95%: 1.25 to 1.25)",
        "c: nothing to compare: B has no samples (not reachable)",
        "d: no clear change relative to e (10 rounds each show the same)",
        "e: no clear change relative to d (10 rounds each show the same)",
        "each of these intervals holds the true ratio in 95 of 100 races, all of them together in fewer",
        "not compared: old (only in A); new (only in B)",
    ]
    assert any(line.startswith("note not-interleaved: B started 0 s after A") for line in lines)


@pytest.mark.parametrize(
    ("percent", "code", "messages"),
    [
        (None, 0, []),
        (5.0, 1, ["failed: a: B takes 1.08x as long as A, rel", "failed: c: nothing to compare: B has no samples"]),
        (10.0, 1, ["failed: c: nothing to compare"]),
        (0.0, 1, ["failed: a: ", "failed: c: ", "undecided: d: no clear change", "undecided: e: no clear change"]),
    ],
)
def test_the_gate_sets_the_exit_code_and_prints_reasons(
    history: Path, capsys: pytest.CaptureFixture[str], percent: float | None, code: int, messages: list[str]
) -> None:
    assert compare_runs("aaaa", "bbbb", str(history), percent=percent) == code
    out, err = capsys.readouterr()
    assert "gate" not in out
    lines = err.splitlines()
    assert len(lines) == len(messages)
    for line, wanted in zip(lines, messages, strict=True):
        assert line.startswith(f"llmtui: gate of {percent:g}% {wanted}")


def test_an_undecided_gate_has_its_own_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "history.db"
    add(file, "aaaa1111", {"a": 0.5})
    add(file, "bbbb2222", {"a": 0.6})
    assert compare_runs("aaaa", "bbbb", str(file), percent=5, json_file=Path("-")) == 3
    out, err = capsys.readouterr()
    document = json.loads(out)
    gate, (a,) = document["gate"], document["backends"]
    assert gate["holds"] is None and gate["broken"] == [] and len(gate["silent"]) == 1
    assert (a["basis"], a["shown"], a["low"], a["high"], a["p"]) == ("apart", None, None, None, None)
    assert a["slowdown"] == pytest.approx(1.2)
    assert err == (
        "llmtui: gate of 5% undecided: a: B took 1.20x as long as A between these two runs; one run of each cannot "
        "tell a change of the backend from one of the machine; measure several runs of each side and add --runs 5, or "
        "race a second backend in both runs\n"
    )
    assert compare_runs("aaaa", "bbbb", str(file)) == 0


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """Four runs "before" and "after" in turns, one "after" of other work, and two runs of another backend."""
    file = tmp_path / "history.db"
    for number, wander in enumerate((1.0, 1.02, 0.99, 1.01)):
        add(file, f"aaaa000{number}", {"a": 0.5 * wander}, label="before")
        add(file, f"bbbb000{number}", {"a": 0.6 * wander}, label="after")
    add(file, "cccc0000", {"a": 0.5}, label="other", max_tokens=128)
    for number in range(4):
        add(file, f"dddd000{number}", {"d": 0.5 + number / 1000})
    return file


def test_several_runs_of_each_side(several: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare_runs("before", "after", str(several), percent=5, count=3) == 1
    out, err = capsys.readouterr()
    assert "A: run aaaa0003 [before], done, " in out and "; and 2 runs before it: aaaa0002, aaaa0001" in out
    assert "a: B takes 1.20x as long as A (95% over 3 runs each: 1.1" in out
    assert err.startswith("llmtui: gate of 5% failed: a: B takes 1.20x as long as A (95% over 3 runs each")
    assert compare_runs("before", "bbbb0003", str(several), count=9, json_file=Path("-")) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["runs_a"] == [f"aaaa000{n}" for n in range(4)]
    assert document["runs_b"] == [f"bbbb000{n}" for n in range(4)]
    assert err.splitlines() == [
        f"llmtui: {side} has 4 runs with the same setup and label, not 9; comparing these" for side in "AB"
    ]


def test_two_labels_of_several_runs_are_all_their_runs(several: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare_runs("before", "after", str(several), json_file=Path("-")) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["runs_a"] == [f"aaaa000{n}" for n in range(4)]
    assert document["runs_b"] == [f"bbbb000{n}" for n in range(4)]
    assert (document["backends"][0]["basis"], document["backends"][0]["shown"]) == ("runs", "slower")
    with pytest.raises(CommandError, match=r"'before' matches several runs: .*, or add --runs N: the newest"):
        compare_runs("before", "other", str(several))


def test_runs_of_one_kind_are_on_one_side_each(several: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare_runs("last~2", "last", str(several), count=2, json_file=Path("-"), percent=5) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["runs_a"], document["runs_b"]) == (["dddd0000", "dddd0001"], ["dddd0002", "dddd0003"])
    assert document["gate"]["holds"] is True and document["backends"][0]["basis"] == "runs"


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (
            "before",
            "other",
            "--runs 5: B, run cccc0000, has no earlier run with the same setup and label; measure each ",
        ),
        (
            "last~1",
            "last",
            "--runs 5: B, run dddd0003, has no earlier run with the same setup and label; measure each ",
        ),
        ("last", "last", "--runs: A and B are the same run, dddd0003; name two runs"),
        ("never", "last", "no run 'never' in the history; "),
    ],
)
def test_a_side_needs_two_runs(several: Path, a: str, b: str, message: str) -> None:
    with pytest.raises(CommandError) as refused:
        compare_runs(a, b, str(several), count=5)
    assert refused.value.exit_code == 2 and str(refused.value).startswith(message)


def test_earlier_runs_of_the_history_are_a_basis(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "history.db"
    for number, wander in enumerate((1.0, 1.02, 0.99, 1.01, 0.98, 1.0)):
        add(file, f"aaaa000{number}", {"a": 0.5 * wander})
    for number in range(6):
        add(file, f"bbbb000{number}", {"a": 0.7 + number / 1000}, label=f"now {number}")
    assert compare_runs("aaaa0005", "bbbb0005", str(file), percent=5, json_file=Path("-")) == 1
    (a,) = json.loads(capsys.readouterr().out)["backends"]
    assert (a["basis"], a["shown"], a["earlier_runs"]) == ("runs", "slower", 6), "not those after A"
    assert 1.2 < a["low"] < 1.41 < a["high"]


def test_a_faster_backend_that_fails_more_often_fails_the_gate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "history.db"
    add(file, "aaaa1111", {"s": 0.5, "t": 0.5, "u": 0.5}, n=20)
    add(file, "bbbb2222", {"s": 0.45, "t": 0.5, "u": 0.5}, n=20, failed={"s": 9})
    assert compare_runs("aaaa", "bbbb", str(file), percent=5, json_file=Path("-")) == 1
    out, err = capsys.readouterr()
    document = json.loads(out)
    s = document["backends"][0]
    assert (s["failed_a"], s["tried_a"], s["failed_b"], s["tried_b"], s["fails_more"]) == (0, 20, 9, 20, True)
    assert s["shown"] == "faster" and document["gate"]["holds"] is False
    assert err.startswith("llmtui: gate of 5% failed: s: A takes 1.11x as long as B, relative to t and u (")
    assert err.endswith("; but B failed in 9 of 20 iterations, A in none\n")


def test_json_goes_to_stdout_alone(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare_runs("base", "bbbb", str(history), percent=5, json_file=Path("-"), metric="ttft") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 1 and document["metric"] == "ttft"
    assert document["a"]["run"] == "aaaa1111" and document["a"]["label"] == "base" and document["b"]["state"] == "done"
    a, _, c, *_ = document["backends"]
    assert a["a"] == a["b"] == "a" and a["shown"] is None and a["slowdown"] == 1 and a["median_a"] == 0.125
    assert (a["basis"], a["relative"], a["relative_to"]) == ("runs", 1, ["b", "d", "e"])
    assert a["sentence"].startswith("a: no clear change by TTFT relative to b, d and e (")
    assert document["common"][0]["shown"] is None and (document["runs_a"], document["runs_b"]) == (
        ["aaaa1111"],
        ["bbbb2222"],
    )
    assert (c["slowdown"], c["low"], c["shown"], c["n_b"]) == (None, None, None, 0)
    assert (document["rest_a"], document["rest_b"]) == (["old"], ["new"])
    assert {d["code"] for d in document["differences"]} >= {"not-interleaved", "company"}
    assert document["gate"]["holds"] is False and document["gate"]["broken"] == [c["sentence"]]


def test_backends_with_different_names_are_paired(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare_runs("aaaa", "bbbb", str(history), named=["old=new"]) == 0
    out = capsys.readouterr().out
    assert (
        "old / new   10   10 " in out
        and "old in A, new in B: no clear change relative to" in out
        and "a: B takes" in out
    )
    assert compare_runs("bbbb", "bbbb", str(history), named=["a=b", "a=d"], percent=5) == 0
    out = capsys.readouterr().out
    assert out.startswith("A and B: run bbbb2222, done")
    assert "a takes 1.35x as long as b (95%: 1.35 to 1.35)" in out
    assert "a takes 1.08x as long as d" in out and "not-interleaved" not in out


def test_names_may_contain_an_equals_sign(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "history.db"
    add(file, "aaaa1111", {"x=1": 0.5, "x": 0.5})
    assert compare_runs("a", "a", str(file), named=["x=1=x"]) == 0
    assert "x=1 and x: no clear difference (all 10 rounds show the same)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["aaaa", "nope"], 2, "no run 'nope' in the history; "),
        (["nope", "aaaa"], 2, "no run 'nope' in the history; "),
        (
            ["aaaa", "base"],
            2,
            "A and B are the same run, aaaa1111; name another run, or pair two of its backends with ",
        ),
        (
            ["aaaa", "cccc"],
            2,
            "the runs have no backend in common: A has a, b, c, d, e, old; B has z; pair two of them w",
        ),
        (["aaaa", "bbbb", "--backend", "a"], 2, "--backend: 'a' is not of the form NAME_A=NAME_B"),
        (
            ["aaaa", "bbbb", "--backend", "new=new"],
            2,
            "--backend: run A has no backend 'new'; it has a, b, c, d, e, old",
        ),
        (["aaaa", "bbbb", "--backend", "a=old"], 2, "--backend: run B has no backend 'old'; it has a, b, c, d, e, new"),
        (["aaaa", "aaaa", "--backend", "a=a"], 2, "--backend: 'a' is the same backend on both sides; name two of a, b"),
    ],
)
def test_invalid_pairs_and_unknown_runs(
    history: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, sentence: str
) -> None:
    add(history, "cccc3333", {"z": 0.5})
    with pytest.raises(CommandError) as refused:
        compare_runs(arguments[0], arguments[1], str(history), named=arguments[3:])
    assert refused.value.exit_code == code and str(refused.value).startswith(sentence)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--metric", "speed"], "tokens_per_s"),
        (
            ["--metric", "goodput"],
            "run aaaa1111 is a race, and only loads have good requests/s; choose latency, ttft, ",
        ),
        (["--gate", "-1"], "-1"),
        (["--gate", "nan"], "llmtui: --gate: 'nan' is not a percentage\n"),
        (["--json", "no/such/file"], "llmtui: cannot write no/such/file: the folder "),
    ],
)
def test_invalid_options_are_refused(history: Path, option: list[str], message: str) -> None:
    done = in_process.llmtui("compare", "aaaa", "bbbb", *option, LLMTUI_STORE=str(history))
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr and "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_reported(history: Path) -> None:
    # Buffered, as usual: the output is written at the end.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"} | {"LLMTUI_STORE": str(history)}
    command = [*LLMTUI, "compare", "aaaa", "bbbb"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert done.stderr == "llmtui: cannot write the output: No space left on device\n"


def test_runs_without_common_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "history.db"
    add(file, "aaaa1111", {"a": 0.5})
    add(file, "bbbb2222", {"a": 0})
    assert compare_runs("aaaa", "bbbb", str(file)) == 1
    out, err = capsys.readouterr()
    assert "a: nothing to compare: B has no samples (not reachable)" in out
    assert err == "llmtui: nothing to compare: no backend has samples in both runs\n"


def test_an_active_run_is_compared_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "history.db"
    add(file, "aaaa1111", {"a": 0.5})
    add(file, "bbbb2222", {"a": 0.6}, end=None)
    assert compare_runs("aaaa", "bbbb", str(file)) == 0
    out, err = capsys.readouterr()
    assert err == "llmtui: run B is still running; comparing its iterations so far\n"
    assert "a: B took 1.20x as long as A between these two runs" in " ".join(out.split())


def test_different_lengths_are_compared_per_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "history.db"
    add(file, "aaaa1111", {"a": 0.5})
    add(file, "bbbb2222", {"a": 0.5}, max_tokens=128)
    assert compare_runs("aaaa", "bbbb", str(file)) == 0
    out = capsys.readouterr().out
    assert "tokens/s (median); slowdown above 1x: B is slower" in out
    assert "a: not comparable by latency (different max_tokens); " in out and "between these two runs" in out
    assert "void max-tokens: different max_tokens: A 64, B 128: the latencies are for different amounts of work" in out


def test_lines_fit_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    long = {"a backend with a name that is quite long": 0.0005, "日本語の名前がとても長いバックエンド名": 123.4}
    add(file, "aaaa1111", long, label="w" * 70)
    add(file, "bbbb2222", {name: 2 * s for name, s in long.items()}, prompt="and other words " * 20)
    screen = Screen([*LLMTUI, "compare", "aaaa", "bbbb", "--store", str(file)], dict(os.environ), columns=80, rows=24)
    try:
        output = b"".join(screen.chunks(60)).decode()
    finally:
        screen.close()
    lines = output.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("backend "))
    assert max(map(cells_wide, lines[: at + 3])) <= 80 and max(map(len, lines)) <= 80
    assert lines[at + 1].startswith("a ba") and "... " in lines[at + 1] and "2.00x" in lines[at + 1]
    assert lines[at + 1].index("2.00x") == lines[at].index("slowdown")


def test_rows_with_different_metrics_name_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "history.db"
    add(file, "aaaa1111", {"a": 0.5, "b": 0.5})
    add(file, "bbbb2222", {"a": 0.5, "b": 0.5}, tokens={"b": 12})
    assert compare_runs("aaaa", "bbbb", str(file)) == 0
    lines = capsys.readouterr().out.splitlines()
    at = next(place for place, line in enumerate(lines) if line.startswith("backend  by "))
    assert lines[at : at + 3] == [
        "backend  by            n A  n B  median A  median B  slowdown",
        "a        latency in s   10   10     0.500     0.500  1.00x",
        "b        tokens/s       10   10      6.00     23.99  0.25x",
    ]
    assert any(line.startswith("b: not comparable by latency (different numbers of output tokens ") for line in lines)
    assert any("B gave 4.00x as many tokens/s as A" in line for line in lines)
