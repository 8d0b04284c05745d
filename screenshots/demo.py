"""Two demos: a real race and a real sweep over loads in a real terminal, each recorded as an asciicast (demo.cast,
sweep.cast) and drawn as a GIF.

A shell in a pseudo-terminal of 100x30 runs `llmtui` with llama.cpp and mistral.rs while keys are typed. Nothing is cut
or sped up, except that pauses without output are shortened to IDLE_S, and in the sweep the middle of the run is left
out.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import itertools
import json
import os
import re
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyte
from grid import Shape, shapes_of
from PIL import Image, ImageDraw, ImageFont

from llmtui.accuracy.pty_monitor import Screen

HERE = Path(__file__).parent
COLUMNS, ROWS = 100, 30
IDLE_S = 1.5
FRAME_S = 0.15
END_S = 4.0
CELL = (9, 18)
FONT_SIZE = 15
COLOURS = 64
INK, PAPER = "d8dee9", "16181d"
NAMES = {
    "black": "000000", "red": "cc5555", "green": "55aa55", "brown": "bb9944", "blue": "5577cc", "magenta": "aa66aa",
    "cyan": "44aaaa", "white": "cccccc", "brightblack": "777777", "brightred": "ff7777", "brightgreen": "77dd77",
    "brightbrown": "eecc66", "brightblue": "7799ff", "brightmagenta": "dd88dd", "brightcyan": "66dddd",
    "brightwhite": "ffffff",
}  # fmt: skip
CONFIG = """[run]
prompt = "How many helicopters can a human eat in one sitting?"
iterations = 10
warmup = 1
max_tokens = 48
{load}[ui]
theme = "dark"
[[backend]]
name = "llama.cpp"
language = "C++"
embedded = "llama.cpp"
[[backend]]
name = "mistral.rs"
language = "Rust"
embedded = "mistral.rs"
"""
LOAD = """[load]
concurrency = [1, 2, 4, 8]
requests = 8
[slo]
ttft_s = 2.0
"""
_LEFT = b"\x1b[?1049l"
_ALTERNATE = re.compile(rb"(\x1b\[\?1049[hl])")
#: Sequences that the emulator does not know and would print.
_UNKNOWN = re.compile(rb"\x1b\[[<=>][0-9;]*[a-zA-Z]|\x1b\[\?[0-9;]*\$p|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")

Event = tuple[float, bytes]


@dataclasses.dataclass(frozen=True)
class Demo:
    """One recording: its config, what the header counts in all, and what is typed."""

    name: str
    title: str
    config: str
    total: int
    act: Callable[[Recording, int], None]


class Recording:
    """Records the output of a terminal with timestamps in s. Pauses are shortened to IDLE_S."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._last = screen.started
        self._at = 0.0
        self._paused = False
        self.events: list[Event] = []

    def until(self, holds: Callable[[bytes], bool], within_s: float = 120.0) -> None:
        """Record until the output since this call fulfils a condition. Raises SystemExit if it does not in time."""
        seen = b""
        for data in self._read(within_s):
            seen += data
            if holds(seen):
                return
        raise SystemExit("the demo timed out")

    def watch(self, seconds: float) -> None:
        """Record for this long."""
        for _ in self._read(seconds):
            pass

    def pause(self) -> None:
        """Leave out how long things take until `resume`: the output counts as if it came at once."""
        self._paused = True

    def resume(self) -> None:
        """Go on at the usual pace."""
        self._paused = False

    def press(self, keys: bytes, then_s: float) -> None:
        """Type `keys`, then record for `then_s`."""
        self._screen.press(keys)
        self.watch(then_s)

    def _read(self, seconds: float) -> Iterator[bytes]:
        for data in self._screen.chunks(seconds):
            now = time.monotonic()
            self._at += 0.0 if self._paused else min(now - self._last, IDLE_S)
            self._last = now
            self.events.append((self._at, data))
            yield data


def counted(count: int, total: int) -> Callable[[bytes], bool]:
    """Return whether the header counts `count` of `total` iterations or turns, as a condition for `until`."""
    pattern = re.compile(rb"\b([0-9]+)/%d\b" % total)
    return lambda seen: any(int(shown) >= count for shown in pattern.findall(seen))


def race(it: Recording, total: int) -> None:
    """Look at metrics, charts and details of a race until its end."""
    it.until(counted(7, total))
    it.press(b"m", 1.6)
    it.press(b"m", 1.4)
    it.press(b"m", 1.2)
    it.press(b"m", 1.0)
    it.press(b"c", 1.8)
    it.press(b"2", 0.7)
    it.press(b"\r", 3.0)
    it.press(b"\x1b", 0.0)
    it.until(counted(total, total))
    it.watch(3.0)


def sweep(it: Recording, total: int) -> None:
    """Look at the charts and levels of a load."""
    it.until(counted(10, total), 600.0)
    it.watch(4.0)
    it.pause()
    it.until(counted(total, total), 3600.0)
    it.resume()
    it.watch(3.0)
    for key in (b"c", b"c", b"c", b"<", b"<", b">", b"m", b"v"):
        it.press(key, 2.0)
    it.press(b"\x1b", 1.0)


DEMOS = {
    "demo": Demo("demo", "llmtui: llama.cpp against mistral.rs", CONFIG.format(load=""), 22, race),
    "sweep": Demo(
        "sweep",
        "llmtui: how many users llama.cpp and mistral.rs carry",
        CONFIG.format(load=LOAD).replace("iterations = 10", "iterations = 6"),
        58,
        sweep,
    ),
}


def record(of: Demo) -> list[Event]:
    """Run `of`, type its keys, and return the recording."""
    with tempfile.TemporaryDirectory(prefix="llmtui-demo-") as name:
        folder = Path(name)
        (folder / "config.toml").write_text(of.config)
        env = {
            "PS1": "$ ",
            "XDG_RUNTIME_DIR": name,
            "LLMTUI_STORE": str(folder / "runs.db"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        shell = ["/usr/bin/env", "-C", name, "bash", "--noprofile", "--norc", "-i"]
        screen = Screen(shell, env, columns=COLUMNS, rows=ROWS)
        try:
            it = Recording(screen)
            it.until(lambda seen: b"$ " in seen)
            it.watch(0.5)
            for letter in b"llmtui":
                it.press(bytes([letter]), 0.09)
            it.watch(0.4)
            it.press(b"\r", 0.0)
            of.act(it, of.total)
            it.press(b"q", 0.0)
            it.until(lambda seen: _LEFT in seen)
            it.watch(2.0)
            return it.events
        finally:
            screen.close(now=True)


def save(events: list[Event], path: Path, title: str) -> None:
    """Save the events as an asciicast, version 2."""
    head = {"version": 2, "width": COLUMNS, "height": ROWS, "title": title}
    lines = [json.dumps(head)]
    rest = b""
    for at, data in events:
        # A character may be split between two reads.
        whole, rest = _whole(rest + data)
        lines.append(json.dumps([round(at, 3), "o", whole], ensure_ascii=False))
    path.write_text("\n".join(lines) + "\n", "utf-8")


def _whole(data: bytes) -> tuple[str, bytes]:
    for cut in range(4):
        try:
            return data[: len(data) - cut].decode(), data[len(data) - cut :]
        except UnicodeDecodeError:
            continue
    return data.decode("utf-8", "replace"), b""


def load(path: Path) -> list[Event]:
    """Return the events of an asciicast."""
    return [(at, text.encode()) for at, _, text in map(json.loads, path.read_text("utf-8").splitlines()[1:])]


@functools.cache
def font(bold: bool) -> Any:
    """Return one of the fonts of the other pictures."""
    return ImageFont.truetype("DejaVuSansMono-Bold.ttf" if bold else "DejaVuSansMono.ttf", FONT_SIZE)


def colour(name: str, otherwise: str) -> str:
    """Convert a colour of the emulator to one of Pillow."""
    return "#" + (otherwise if name == "default" else NAMES.get(name, name))


def cell_of(char: Any, cursor: bool) -> tuple[str, str, str, bool, bool]:
    """Return what is drawn in a cell: text, ink, paper, bold, underlined."""
    ink, paper = colour(char.fg, INK), colour(char.bg, PAPER)
    if char.reverse != cursor:
        ink, paper = paper, ink
    return char.data, ink, paper, char.bold, char.underscore


def paint(screen: Any, picture: Image.Image, before: dict[tuple[int, int], Any]) -> bool:
    """Draw the cells that changed, and return whether there were any."""
    wide, high = CELL
    changed = False
    for y in range(ROWS):
        for x in range(COLUMNS):
            here = not screen.cursor.hidden and (screen.cursor.x, screen.cursor.y) == (x, y)
            cell = cell_of(screen.buffer[y][x], here)
            if before.get((x, y)) == cell:
                continue
            changed, before[x, y] = True, cell
            text, ink, paper, bold, underlined = cell
            left, top = x * wide, y * high
            tile = Image.new("RGB", CELL, paper)
            brush = ImageDraw.Draw(tile)
            if text.strip():
                shapes = list(shapes_of(text[0], unicodedata.name(text[0], "")))
                for shape in shapes:
                    fill(brush, shape, ink)
                if not shapes:
                    brush.text((0, 0), text, ink, font(bold))
            if underlined:
                brush.line((0, high - 2, wide, high - 2), ink)
            picture.paste(tile, (left, top))
    return changed


def fill(brush: ImageDraw.ImageDraw, shape: Shape, ink: str) -> None:
    """Draw a rectangle of a line, a block or a braille character, at least a pixel wide and high."""
    wide, high = CELL
    left, top = round(shape[0] * wide), round(shape[1] * high)
    right, bottom = round((shape[0] + shape[2]) * wide), round((shape[1] + shape[3]) * high)
    brush.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), fill=ink)


def frames(events: list[Event]) -> Iterator[tuple[float, Image.Image]]:
    """Yield each frame and its time, at most one in FRAME_S."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    picture = Image.new("RGB", (COLUMNS * CELL[0], ROWS * CELL[1]), f"#{PAPER}")
    before: dict[tuple[int, int], Any] = {}
    due = 0.0
    for number, (at, data) in enumerate(events):
        for part in _ALTERNATE.split(data):
            if _ALTERNATE.fullmatch(part):
                screen.reset()
            stream.feed(_UNKNOWN.sub(b"", part))
        following = events[number + 1][0] if number + 1 < len(events) else at + 10.0
        # Output that is followed by more immediately is not a frame of its own.
        if following - at < 0.04 or following < due:
            continue
        if paint(screen, picture, before):
            yield at, picture.copy()
            due = at + FRAME_S


def draw(events: list[Event], path: Path) -> None:
    """Draw an animated GIF, all frames with one palette."""
    shown = list(frames(events))
    some = shown[:: max(1, len(shown) // 12)]
    sheet = Image.new("RGB", (some[0][1].width, some[0][1].height * len(some)))
    for number, (_, picture) in enumerate(some):
        sheet.paste(picture, (0, number * picture.height))
    palette = sheet.quantize(COLOURS, dither=Image.Dither.NONE)
    pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for _, picture in shown]
    times = [at for at, _ in shown] + [shown[-1][0] + END_S]
    lasting = [round((after - at) * 100) * 10 for at, after in itertools.pairwise(times)]
    drawn = io.BytesIO()
    pictures[0].save(
        drawn, "GIF", save_all=True, append_images=pictures[1:], duration=lasting, loop=0, optimize=False, disposal=1
    )
    path.write_bytes(drawn.getvalue())
    print(f"{path.name}: {len(pictures)} frames, {times[-1]:.0f} s, {len(drawn.getvalue()) / 1e6:.2f} MB")


def make(name: str, again: bool = True) -> None:
    """Record one of DEMOS (unless `again` is false) and draw it."""
    cast, of = HERE / f"{name}.cast", DEMOS[name]
    if again:
        save(record(of), cast, of.title)
    draw(load(cast), cast.with_suffix(".gif"))
