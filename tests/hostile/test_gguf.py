"""Malicious GGUF headers that cost time or memory, block, or contain control sequences: all are read or refused."""

from __future__ import annotations

import json
import os
import resource
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from llmtui.servers import gguf as header
from llmtui.servers.base import StartError
from llmtui.servers.gguf import NotGguf, parse_gguf
from llmtui.servers.model_file import read_gguf_info
from tests.hostile.limits import stopwatch
from tests.servers.gguf_files import array, gguf_head, items, string, strings, tensor, text, u32

MAX_CPU_S = 2.0
MAX_GROWTH_BYTES = 150_000_000
#: Enough to detect a reader without limits, and harmless for the machine.
LIMIT_CPU_S, LIMIT_BYTES = 6, 600_000_000
SPARSE = 1 << 40


def cost(path: Path) -> tuple[float, int, str]:
    """Parse the header in a new process. Return its CPU seconds, the growth of its memory in bytes, and the result."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            size = pages * resource.getpagesize() + LIMIT_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (size, size))
            resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_CPU_S, LIMIT_CPU_S))
            before, began_s = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
            try:
                result = str(parse_gguf(path))
            except NotGguf as error:
                result = f"NotGguf: {error}"
            took_s = time.process_time() - began_s
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
            os.write(write, json.dumps([took_s, grown, result[:4000]]).encode())
        except BaseException as error:
            os.write(write, json.dumps([0.0, 0, f"raised {error!r}"[:4000]]).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as answer:
        output = answer.read()
    _, status = os.waitpid(pid, 0)
    if not output:
        return float(LIMIT_CPU_S), LIMIT_BYTES, f"ended by signal {os.WTERMSIG(status)}"
    took_s, grown, result = json.loads(output)
    return took_s, grown, result


def sparse(path: Path, content: bytes, size: int = SPARSE) -> None:
    """Write a sparse file with `content` and then zeros."""
    with path.open("wb") as file:
        file.write(content)
        file.truncate(size)


def spread(path: Path, beginning: bytes, piece: Callable[[int], bytes], count: int, gap: int) -> None:
    """Write a sparse file of small pieces with gaps between them."""
    with path.open("wb") as file:
        file.write(beginning)
        for number in range(count):
            file.write(piece(number))
            file.seek(gap, os.SEEK_CUR)
        file.write(b"\0")


def claims_16_mb_strings(path: Path) -> None:
    spread(path, gguf_head(claimed_keys=118), lambda n: text(f"k{n}") + struct.pack("<IQ", 8, 1 << 24), 118, 1 << 24)


def claims_a_string_just_below_every_bound(path: Path) -> None:
    spread(path, gguf_head(claimed_keys=15), lambda n: text(f"k{n}") + struct.pack("<IQ", 8, 1 << 24), 15, 1 << 24)


def spread_keys(path: Path, size: int, count: int) -> None:
    """Return different keys of this size, each with a value of one byte."""
    first = struct.pack("<QQ", size, count)
    with path.open("wb") as file:
        file.write(gguf_head(claimed_keys=count) + first)
        for number in range(count - 1):
            file.seek(size - 8, os.SEEK_CUR)
            file.write(struct.pack("<IBQQ", 0, 1, size, number))
        file.seek(size - 8, os.SEEK_CUR)
        file.write(struct.pack("<IB", 0, 1))


def claims_keys_of_16_mb(path: Path) -> None:
    spread_keys(path, 1 << 24, 100)


def claims_keys_of_64_kb(path: Path) -> None:
    spread_keys(path, 65_535, 4000)


def claims_a_trillion_strings(path: Path) -> None:
    sparse(path, gguf_head([("k", array(8, b"", 1 << 36))]))


def claims_the_most_strings_allowed(path: Path) -> None:
    sparse(path, gguf_head([("k", array(8, b"", header.MAX_STRINGS))]))


def claims_a_billion_arrays(path: Path) -> None:
    sparse(path, gguf_head([("k", array(9, b"", 1 << 30))]))


def claims_all_that_is_allowed_at_once(path: Path) -> None:
    # Zeros are valid keys without a name, valid empty strings and valid tensors without dimensions.
    keys = [("k", array(8, bytes(8 * header.MAX_STRINGS), header.MAX_STRINGS))]
    keys += [("n", array(9, items(0, b"", 0) * header.MAX_INNER_ARRAYS, header.MAX_INNER_ARRAYS))]
    sparse(path, gguf_head(keys, claimed_keys=header.MAX_KEYS, claimed_tensors=header.MAX_TENSORS))


def names_context_lengths_of_every_architecture(path: Path) -> None:
    keys = [(f"{number:0113}.context_length", u32(number)) for number in range(header.MAX_KEYS)]
    path.write_bytes(gguf_head(keys))


def names_context_lengths_with_long_values(path: Path) -> None:
    keys = [(f"{number:0113}.context_length", string("x" * 1024)) for number in range(header.MAX_KEYS)]
    path.write_bytes(gguf_head(keys))


def claims_2_to_the_63_keys(path: Path) -> None:
    sparse(path, gguf_head(claimed_keys=1 << 63))


def claims_2_to_the_63_tensors(path: Path) -> None:
    sparse(path, gguf_head(claimed_tensors=1 << 63))


def claims_2_to_the_63_numbers(path: Path) -> None:
    sparse(path, gguf_head([("k", array(10, b"", 1 << 63))]))


def claims_2_to_the_63_bytes_of_a_string(path: Path) -> None:
    sparse(path, gguf_head([("k", struct.pack("<IQ", 8, (1 << 64) - 1))]))


def claims_string_lengths_that_wrap_around(path: Path) -> None:
    sparse(path, gguf_head([("k", array(8, struct.pack("<Q", (1 << 64) - 8) * 1000, 1000))]))


def has_shapes_whose_product_is_enormous(path: Path) -> None:
    sparse(path, gguf_head(tensors=[tensor("t", [(1 << 48) - 1] * 8)] * 60_000))


def has_weights_far_beyond_the_file(path: Path) -> None:
    sparse(path, gguf_head(tensors=[tensor("t", [32], kind=8, offset=(1 << 64) - 1)]))


def has_an_architecture_of_megabytes(path: Path) -> None:
    big = "\x1b]0;" * (4 << 20)
    path.write_bytes(gguf_head([("general.architecture", string(big)), ("general.name", string(big))]))


ATTACKS = [
    claims_16_mb_strings,
    claims_a_string_just_below_every_bound,
    claims_keys_of_16_mb,
    claims_keys_of_64_kb,
    claims_a_trillion_strings,
    claims_the_most_strings_allowed,
    claims_a_billion_arrays,
    claims_all_that_is_allowed_at_once,
    names_context_lengths_of_every_architecture,
    names_context_lengths_with_long_values,
    claims_2_to_the_63_keys,
    claims_2_to_the_63_tensors,
    claims_2_to_the_63_numbers,
    claims_2_to_the_63_bytes_of_a_string,
    claims_string_lengths_that_wrap_around,
    has_shapes_whose_product_is_enormous,
    has_weights_far_beyond_the_file,
    has_an_architecture_of_megabytes,
]


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_time_and_memory_of_any_header_are_bounded(attack: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    attack(path)
    took_s, grown, result = cost(path)
    path.unlink()
    assert took_s < MAX_CPU_S, result
    assert grown < MAX_GROWTH_BYTES, result
    assert result.startswith(("GgufInfo(", "NotGguf: is a broken GGUF file")), result
    assert result.isprintable() and len(result) < 1000, result


@pytest.mark.parametrize(
    "attack", [claims_a_trillion_strings, claims_2_to_the_63_numbers, claims_2_to_the_63_bytes_of_a_string]
)
def test_impossible_counts_are_refused_without_further_reads(
    attack: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, reads, pread = tmp_path / "x.gguf", list[int](), os.pread

    def counting(descriptor: int, size: int, offset: int) -> bytes:
        reads.append(offset)
        return pread(descriptor, size, offset)

    attack(path)
    monkeypatch.setattr(os, "pread", counting)
    with stopwatch(), pytest.raises(NotGguf):
        parse_gguf(path)
    assert reads == [0]


def test_names_are_sanitized(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    evil = b"\x1b]52;c;ZXZpbA==\x07na\x9bme\r\n\xe2\x80\xae\xff\x00" + b"long " * 1000
    path.write_bytes(gguf_head([("general.architecture", string(evil)), ("general.name", string(evil))]))
    info = parse_gguf(path)
    for name in (info.name, info.architecture):
        assert name.startswith("na")
        assert name.isprintable()
        assert len(name) <= header.MAX_NAME_CHARS
        name.encode()


def test_a_key_in_an_error_is_sanitized(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    key = "\x1b[31mx\n.context_length"
    path.write_bytes(gguf_head([(key, u32(1)), (key, u32(2))]))
    with pytest.raises(NotGguf) as caught:
        parse_gguf(path)
    assert str(caught.value).isprintable()


def test_a_path_in_an_error_is_sanitized(tmp_path: Path) -> None:
    for name in ("a\x1b]0;evil\x07\nb.gguf", os.fsdecode(b"\xff\x9b31m.gguf"), "nul\0.gguf"):
        with pytest.raises(StartError) as caught:
            read_gguf_info(tmp_path / name)
        assert caught.value.failure.message.isprintable()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_a_terminal(path: Path) -> None:
    path.symlink_to("/dev/tty")


def link_to_a_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (make_pipe, "is a pipe, not a GGUF file"),
        (link_to_a_pipe, "is a pipe, not a GGUF file"),
        (make_folder, "is a folder, not a GGUF file"),
        (make_socket, "is a socket, not a GGUF file"),
        (link_to_a_device, "is a device, not a GGUF file"),
        (link_to_a_terminal, "is a device, not a GGUF file"),
    ],
)
def test_special_files_are_refused_without_opening_them(
    make: Callable[[Path], None], word: str, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opened = short_path / "x.gguf", os.open
    make(path)

    def forbidden(name: Path | str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        assert Path(name) != path
        return opened(name, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", forbidden)
    with stopwatch(), pytest.raises(StartError) as caught:
        read_gguf_info(path)
    assert caught.value.failure.message == f"{path} {word}"


def test_a_file_replaced_by_a_pipe_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, stat = tmp_path / "x.gguf", os.stat
    path.write_bytes(gguf_head())

    def swap(name: Path, **more: object) -> os.stat_result:
        status = stat(name)
        if name == path:
            path.unlink()
            os.mkfifo(path)
        return status

    monkeypatch.setattr(os, "stat", swap)
    with stopwatch(), pytest.raises(NotGguf, match="is a pipe"):
        parse_gguf(path)


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, pread = tmp_path / "x.gguf", os.pread
    path.write_bytes(gguf_head([("k", strings(["x" * 100] * 100)), ("general.name", string("x"))]))
    monkeypatch.setattr(header, "_BLOCK_BYTES", 64)

    def shrink(descriptor: int, size: int, offset: int) -> bytes:
        os.truncate(path, 100)
        return pread(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", shrink)
    with pytest.raises(NotGguf, match="its header is cut off"):
        parse_gguf(path)
