"""Signs that terminals measure in different ways, in the names and answers that a real tmux shows."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from llmtui.accuracy.pty_monitor import monitor_argv
from tests.odd.server import Reply, Request, delta, odd
from tests.ui.tmux import Tmux

NAMES = [
    "模型 one",
    "⚠\ufe0f warn",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 fam",
    "\u0939\u093f\u0928\u094d\u0926\u0940",
    "\U0001f44d\U0001f3fd tone",
    "\U0001f1e9\U0001f1ea flag",
    "\u1112\u1161\u11ab jamo",
    "☰ menu ㉈",
    "เก็บ",
    "ten",
]


def chat(reply: Reply, request: Request) -> None:
    reply.head()
    for name in NAMES:
        reply.event(delta(f"{name} "))
    reply.finish(len(NAMES))


def width(line: str) -> int:
    """The cells of a line as tmux gives it out: a mark is beside its letter."""
    wide = (2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line if unicodedata.category(c) != "Mn")
    return sum(wide)


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 40)])
def test_frames_and_columns_stay_in_place(columns: int, rows: int, home: Path, tmux: Tmux) -> None:
    tmux("resize-window", "-x", str(columns), "-y", str(rows))
    with odd(chat) as server:
        backends = "".join(
            f"[[backend]]\nname = {json.dumps(n, ensure_ascii=False)}\nurl = '{server.url}'\n" for n in NAMES
        )
        (home / "config.toml").write_text(f"[run]\niterations = 2\nwarmup = 0\n{backends}")
        tmux("send-keys", " ".join(monitor_argv(home / "config.toml")), "Enter")
        shown = tmux.until(lambda shown: "✓ done" in shown.split("\n")[0])
        lines = [line for line in shown.split("\n") if " ten" in line or " warn" in line or " jamo" in line]
        assert len(lines) >= 3 and "\ufe0f" not in shown and "\U0001f3fd" not in shown
        if columns == 80:
            ends = {width(line[: line.index("2/2")]) for line in shown.split("\n") if "2/2 " in line}
            assert len(ends) == 1, shown
        framed = [line for line in shown.split("\n") if line[:1] in "│┃┌┏└┗" and line.rstrip()[-1:] in "│┃┐┓┘┛"]
        assert all(width(line.rstrip()) == columns for line in framed if line), shown
        tmux("send-keys", "Enter")
        details = tmux.until(lambda shown: "answer:" in shown)
        words = ("no timings", "prefill", "decode", "total")
        starts = {width(line[: line.index(w)]) for line in details.split("\n") for w in words if f" {w} " in line}
        assert len(starts) == 1, details
        tmux("send-keys", "Escape")
        tmux.until(lambda shown: "answer:" not in shown)
        tmux("send-keys", "q")
        tmux.until(lambda shown: "ready>" in shown.rstrip().split("\n")[-1])
