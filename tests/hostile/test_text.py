"""A server that sends control sequences, formulas and markup: every output of llmtui is sanitized."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from llmtui.accuracy.pty_monitor import Screen
from tests.hostile.serving import (
    FORBIDDEN,
    LLMTUI,
    PAYLOAD,
    SEEN,
    answer,
    assert_plain,
    content,
    drive,
    environment,
    inside,
    llmtui,
    serving,
    told_by,
)
from tests.hostile.serving import stream as events

RAW = PAYLOAD.encode()
#: As sent in a header or a reason phrase.
LINE = PAYLOAD.translate({0: None, 10: None, 13: None}).encode()
DIES = "import sys; print(sys.argv[1].replace('%', chr(27)), '=1+1 [red]'); sys.exit(3)"
HEADER = b"X-Y: " + LINE + b"\r\n"
NAME = "=1+1|`[red]<b>[/]"

SERVER = {
    **told_by("text", PAYLOAD),
    b"POST /text/": [
        events(content(PAYLOAD, model=PAYLOAD), content("=cmd|' /C calc'!A0"), content("", finish="stop"))
    ],
    b"POST /word/": [events(content("a"), content("", finish=PAYLOAD))],
    b"POST /big/": [
        events(*[content("A" * 2_500_000)] * 4, content("", finish="length")),
    ],
    b"POST /huge/": [events(content("A" * 10_000_000))],
    b"POST /half/": [events(rb'{"choices":[{"delta":{"content":"\ud800 \udfff"},"finish_reason":"stop"}]}')],
    b"POST /said/": [answer(json.dumps({"error": "=1+1 " + PAYLOAD}).encode(), b"500 " + LINE, more=HEADER)],
    b"POST /page/": [answer(b"<html><title>" + RAW + b"</title>" + RAW, b"502 Bad", b"text/html")],
    b"POST /body/": [answer(RAW, b"500 " + LINE, LINE)],
    b"POST /late/": [answer(RAW, b"429 " + LINE, more=b"Retry-After: " + LINE + b"\r\n")],
    b"POST /move/": [answer(b"", b"302 " + LINE, more=b"Location: " + LINE + b"\r\n")],
    b"POST /none/": [[b"HTTP/1.1 " + RAW + b"\r\n\r\n"]],
    b"POST /tell/": [events(content("a"), {"error": {"message": PAYLOAD}})],
    b"POST /json/": [events(content("a"), RAW)],
}  # fmt: skip
PLACES = [key.split(b"/")[1].decode() for key in SERVER if key.startswith(b"POST")]


def config_for(url: str, folder: Path) -> Path:
    """Write a config with every path of SERVER, a server that exits with an error, and hostile names."""
    payload = json.dumps(PAYLOAD.replace("\x7f", ""))
    text = "[run]\niterations = 1\nwarmup = 0\ntimeout_s = 20\n"
    for place in PLACES:
        name = NAME if place == "text" else place
        text += f"[[backend]]\nname = {json.dumps(name)}\nurl = '{url}/{place}'\n"
        text += f"framework = {payload}\nlanguage = {payload}\n"
    launch = [sys.executable, "-c", DIES, "%]52;c;HOSTILE\u0007%[31m"]
    text += f"[[backend]]\nname = 'dies'\nlaunch = {json.dumps(launch)}\nhint = {payload}\n"
    path = folder / "hostile.toml"
    path.write_text(text.replace("\\/", "/"))
    return path


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(SERVER) as server:
        yield server.url


@pytest.fixture(scope="module")
def place(url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with exports, output and history of one run against that server."""
    folder = tmp_path_factory.mktemp("hostile")
    config = config_for(url, folder)
    files = ["--csv", "r.csv", "--iterations-csv", "i.csv", "--json", "all.json", "--markdown", "r.md"]
    done = llmtui(folder, "run", str(config), *files)
    assert done.returncode == 1
    (folder / "stdout").write_bytes(done.stdout)
    (folder / "stderr").write_bytes(done.stderr)
    return folder


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_run_prints_sanitized_text(place: Path, stream: str) -> None:
    text = assert_plain((place / stream).read_bytes())
    assert SEEN in text, "markup is shown as it is, not obeyed"
    assert max(map(len, text.splitlines())) < 1_000
    for name in PLACES[1:]:
        assert name in text


def test_csv_cells_are_not_formulas(place: Path) -> None:
    for name in ("r.csv", "i.csv"):
        text = assert_plain((place / name).read_bytes())
        rows = list(csv.reader(io.StringIO(text)))
        assert len(rows) == len(PLACES) + 2 - (name == "i.csv") and len({len(row) for row in rows}) == 1
        for row in rows:
            assert [cell for cell in row if cell[:1] in tuple("=+-@\t\r|")] == []
            assert max(map(len, row)) <= 2_001


def test_json_has_the_answers_and_is_ascii(place: Path) -> None:
    said = (place / "all.json").read_bytes()
    document = json.loads(said)
    assert FORBIDDEN.search(said.decode().replace("\n", "")) is None
    by_name = {b["backend"]["name"]: b for b in document["backends"]}
    assert by_name[NAME]["iterations"][0]["text"].startswith(PAYLOAD)
    assert len(by_name["big"]["iterations"][0]["text"]) <= 65_536
    assert "longer than" in by_name["huge"]["iterations"][0]["error"]["message"]
    assert by_name["half"]["iterations"][0]["text"] == "\ufffd \ufffd"
    assert by_name["word"]["iterations"][0]["error"]["kind"] == "server"


def test_markdown_has_no_active_content(place: Path) -> None:
    text = assert_plain((place / "r.md").read_bytes())
    allowed = {"table", "thead", "tbody", "tr", "th", "td", "p", "ul", "li", "strong", "code", ""}
    parsed = MarkdownIt("gfm-like").parse(text)
    tags = {token.tag for outer in parsed for token in (outer, *(outer.children or []))}
    assert tags <= allowed
    assert sum(token.type == "tr_open" for token in parsed) == len(PLACES) + 2
    columns = {len(line.replace("\\|", "").split("|")) for line in text.splitlines() if line.startswith("|")}
    assert len(columns) == 1, "no cell is split in two"


def test_history_prints_sanitized_text(place: Path) -> None:
    for command in (["history"], ["show"], ["export"]):
        run = [assert_plain(inside(place, "history").stdout).split()[0]] if command != ["history"] else []
        done = inside(place, *command, *run)
        assert done.returncode == 0
        assert_plain(done.stdout)
        assert_plain(done.stderr)


def test_compare_prints_sanitized_text(place: Path) -> None:
    run = assert_plain(inside(place, "history").stdout).split()[0]
    for name, form in (("text", []), ("json", ["--json", "-"])):
        done = inside(place, "compare", run, run, "--backend", f"{NAME}={PLACES[1]}", *form)
        assert done.returncode in (0, 1), done.stderr
        text = assert_plain(done.stdout)
        assert name == "json" or NAME in text
        assert_plain(done.stderr)


def test_check_prints_sanitized_text(url: str, tmp_path: Path) -> None:
    done = llmtui(tmp_path, "check", str(config_for(url, tmp_path)))
    assert done.returncode == 1
    assert SEEN in assert_plain(done.stdout)
    assert_plain(done.stderr)


def test_paths_and_config_keys_are_sanitized(tmp_path: Path) -> None:
    evil = "\x1b]52;c;HOSTILE\x07\u202e.toml"
    (tmp_path / evil).write_text('"\\u001b]0;x\\u0007" = 1\n')
    for arguments in (
        ["check", evil],
        ["check", "no" + evil],
        ["run", "--csv", f"no{evil}/x"],
        ["show", evil],
        ["history", "--store", f"{evil}/x"],
    ):
        done = inside(tmp_path, *arguments)
        assert done.returncode in (1, 2) and done.stdout == b""
        assert_plain(done.stderr, swallowed=False)


@pytest.mark.slow
def test_run_in_a_terminal_prints_sanitized_text(url: str, tmp_path: Path) -> None:
    argv = [sys.executable, "-P", "-m", "llmtui", "run", str(config_for(url, tmp_path))]
    screen = Screen(argv, environment(tmp_path))
    try:
        said = b"".join(screen.chunks(60))
    finally:
        screen.close()
    assert SEEN in assert_plain(said.replace(b"\r\n", b"\n")).replace("\n", "")


#: Sequences that the monitor never writes: clipboard, links, titles, device strings.
NEVER = (b"\x1b]52;", b"\x1b]8;;http", b"\x1bP", b"\x1b_", b"\x1b]0;", b"\xc2\x9b", b"\xc2\x9d", b"\x00", b"HOSTILE")


@pytest.mark.slow
@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
def test_the_monitor_draws_sanitized_text(url: str, tmp_path: Path, size: tuple[int, int]) -> None:
    argv = [*LLMTUI, str(config_for(url, tmp_path)), "--only", NAME, "--only", "dies", "--only", "said"]
    screen = Screen(argv, environment(tmp_path), columns=size[0], rows=size[1])
    # Maximize each backend, open its iterations and text, then help, table and palette.
    keys = [b"1", b"\r", b"\x1b[B", b"\x1b", b"2", b"\r", b"\x1b", b"3", b"\r", b"\x1b", b"?", b"\x1b", b"T"]
    seen = drive(screen, keys, until=lambda seen: b" done" in seen and b"failed" in seen)
    assert [token for token in NEVER if token in seen] == []
    assert b"Traceback" not in seen and b"[@click=app.quit]" in seen
    after = seen.rpartition(b"\x1b[?1049l")[2]
    assert_plain(after[after.index(b"latency and TTFT") :].replace(b"\r\n", b"\n"))
