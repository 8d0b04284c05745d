"""The command line of each server and version, and what is known of it before it runs."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from llmtui.model import Backend, OwnServerName
from llmtui.servers.base import Launch, StartError
from llmtui.servers.own import llamafile, vllm
from llmtui.servers.own.versions import at_least, unknown_version
from llmtui.servers.recipes import recipe
from tests.own.install import StandIns
from tests.own.shared import CONTEXT, config, quiet

PORT = 4321


async def command(model: Path, server: OwnServerName, **values: str) -> Launch:
    return await recipe(Backend(name="x", server=server, **values), config(model), PORT, quiet)  # type: ignore[arg-type]


def value_of(launch: Launch, flag: str) -> str:
    words = list(launch.argv)
    return words[words.index(flag) + 1]


async def test_llama_server_computes_on_the_processor(stand_ins: StandIns, tiny: Path) -> None:
    program = stand_ins.install("llama-server")
    launch = await command(tiny, "llama-server")
    assert launch.argv[0] == str(program)
    assert value_of(launch, "--device") == "none"
    assert value_of(launch, "--host") == "127.0.0.1"
    assert (value_of(launch, "-t"), value_of(launch, "-tb")) == ("3", "3")


OLD, NEW = ["--gpu", "disable", "--nobrowser"], ["-ngl", "0"]


@pytest.mark.parametrize(
    ("version", "flags"), [("0.9.3", OLD), ("0.8.17", OLD), ("0.10.0", NEW), ("0.10.4", NEW), ("1.2", NEW)]
)
async def test_llamafile(stand_ins: StandIns, tiny: Path, version: str, flags: list[str]) -> None:
    program = stand_ins.install("llamafile", version=version)
    launch = await command(tiny, "llamafile")
    words = [str(program), "--server", "-m", str(tiny), "-a", "Tiny-1B", "--host", "127.0.0.1", "--port", str(PORT)]
    assert launch.argv == [*words, "-t", "3", "-tb", "3", "-c", str(CONTEXT), "-np", "1", *flags]
    assert launch.ready.version == f"llamafile {version}"
    assert launch.ready.full_length == {"ignore_eos": True}
    assert launch.env["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize(
    ("version", "model", "page"),
    [
        ("0.9.2", ["-f", "FILE"], ["--no-ui"]),
        ("0.9.0", ["--format", "gguf", "-m", "FOLDER", "-f", "NAME"], ["--no-ui"]),
        ("0.8.0", ["--format", "gguf", "-m", "FOLDER", "-f", "NAME"], []),
    ],
)
async def test_mistralrs(stand_ins: StandIns, tiny: Path, version: str, model: list[str], page: list[str]) -> None:
    program = stand_ins.install("mistralrs", version=version)
    launch = await command(tiny, "mistralrs")
    words = {"FILE": str(tiny), "FOLDER": str(tiny.parent), "NAME": tiny.name}
    named = [words.get(word, word) for word in model]
    place = ["--host", "127.0.0.1", "-p", str(PORT), "--cpu", *page, "--max-seqs", "1", "--prefix-cache-n", "0"]
    assert launch.argv == [str(program), "serve", *named, *place]
    assert launch.env["RAYON_NUM_THREADS"] == "3"
    assert launch.ready.options == {"model": "default"}
    bias = {"logit_bias": {"2": -1000.0}}
    assert launch.ready.full_length == ({"ignore_eos": True} if version == "0.9.2" else bias)


async def test_the_old_program_of_mistralrs(stand_ins: StandIns, tiny: Path) -> None:
    stand_ins.install("mistralrs-server", version="0.6.0")
    launch = await command(tiny, "mistralrs")
    assert value_of(launch, "--serve-ip") == "127.0.0.1"
    assert list(launch.argv[-5:]) == ["gguf", "-m", str(tiny.parent), "-f", tiny.name]
    assert launch.ready.version == "mistral.rs 0.6.0"


async def test_vllm(stand_ins: StandIns, tiny: Path, exported: Path) -> None:
    program = stand_ins.install("vllm")
    launch = await command(tiny, "vllm")
    words = [str(program), "serve", str(exported), "--host", "127.0.0.1", "--port", str(PORT)]
    words += ["--max-model-len", str(CONTEXT), "--max-num-seqs", "1", "--served-model-name", "Tiny-1B"]
    assert launch.argv == [*words, "--dtype", "bfloat16", "--no-enable-prefix-caching"]
    assert (launch.env["VLLM_CPU_OMP_THREADS_BIND"], launch.env["OMP_NUM_THREADS"]) == ("nobind", "3")
    assert launch.ready.weights == "BF16"
    assert launch.env["VLLM_CACHE_ROOT"].startswith(str(exported.parent))
    assert value_of(await command(tiny, "vllm", weights="F32"), "--dtype") == "float32"


async def test_vllm_needs_what_exports_the_model(
    stand_ins: StandIns, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_ins.install("vllm")
    monkeypatch.setattr(vllm, "absent_packages", lambda: ["no_such_package"])
    with pytest.raises(StartError) as caught:
        await command(tiny, "vllm")
    assert "no_such_package" in caught.value.failure.message
    assert "llmtui[hf]" in caught.value.failure.hint


SERVERS: list[tuple[OwnServerName, str]] = [
    ("llama-server", "--host"),
    ("llamafile", "--host"),
    ("mistralrs", "--host"),
    ("vllm", "--host"),
]


@pytest.mark.parametrize(("server", "flag"), SERVERS)
async def test_each_server_is_told_to_listen_on_this_machine_only(
    stand_ins: StandIns, tiny: Path, exported: Path, server: OwnServerName, flag: str
) -> None:
    stand_ins.install(server)
    launch = await command(tiny, server)
    assert value_of(launch, flag) == "127.0.0.1"
    assert launch.ready.url == f"http://127.0.0.1:{PORT}"
    assert launch.ready.model_digest.startswith("sha256:")


@pytest.mark.parametrize(
    ("version", "remark"),
    [
        ("0.9.3", ""),
        ("0.10", ""),
        ("0.10.9", ""),
        ("0.11", "version 0.11 is newer than 0.10, which llmtui knows"),
        ("0.8", "version 0.8 is older than 0.9, which llmtui knows"),
        ("1.0-rc1", "version 1.0-rc1 is newer than 0.10, which llmtui knows"),
        ("", "its version is unknown"),
        ("9" * 5000 + ".1", "its version is unknown"),
        ("dev", "its version is unknown"),
    ],
)
def test_unknown_version(version: str, remark: str) -> None:
    assert unknown_version(version, ("0.9", "0.10")) == remark


def test_an_unknown_version_counts_as_new() -> None:
    assert at_least("", "0.10")
    assert at_least("0.10", "0.9.3")
    assert not at_least("0.9.3", "0.10")


@pytest.mark.parametrize(
    ("start", "by_shell"), [(b"MZqFpD='", True), (b"jartsr='", True), (b"\x7fELF", False), (b"#!/bin/sh\n", False)]
)
def test_an_executable_for_several_systems_needs_a_shell(
    tiny: Path, tmp_path: Path, start: bytes, by_shell: bool
) -> None:
    path = tmp_path / "x.llamafile"
    path.write_bytes(start + b"\n")
    command, env = llamafile.started_by(str(path))
    assert command == (["/bin/sh", str(path)] if by_shell else [str(path)])
    assert [Path(folder).is_relative_to(tmp_path / "cache") for folder in env.values()] == ([True] if by_shell else [])


def store(program: Path, *arguments: str) -> None:
    """Put weights, and arguments if there are some, into a llamafile."""
    with zipfile.ZipFile(program, "a") as archive:
        archive.writestr("Other-7B.gguf", b"GGUF")
        if arguments:
            archive.writestr(".args", "\n".join(arguments))


@pytest.mark.parametrize("arguments", [(), ("-m", "Other-7B.gguf"), ("-m", "Other-7B.gguf", "...")])
async def test_a_llamafile_with_weights_inside_loads_the_shared_file(
    stand_ins: StandIns, tiny: Path, arguments: tuple[str, ...]
) -> None:
    program = stand_ins.install("llamafile", name="Other-7B.llamafile")
    assert (await command(tiny, "llamafile", program=str(program))).ready.note == ""
    store(program, *arguments)
    launch = await command(tiny, "llamafile", program=str(program))
    assert value_of(launch, "-m") == str(tiny)
    assert launch.ready.version == "llamafile 0.9.3"
    assert launch.ready.note == "without the weights inside it"


async def test_a_llamafile_whose_arguments_are_damaged(stand_ins: StandIns, tiny: Path) -> None:
    program = stand_ins.install("llamafile", name="Other-7B.llamafile")
    with zipfile.ZipFile(program, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(".args", "-m\nOther-7B.gguf\n" * 50)
        at = archive.getinfo(".args").header_offset + 30 + len(".args")
    content = bytearray(program.read_bytes())
    content[at : at + 16] = b"\xff" * 16
    program.write_bytes(content)
    assert (await command(tiny, "llamafile", program=str(program))).ready.note == ""


async def test_a_llamafile_that_keeps_its_own_weights_is_refused(stand_ins: StandIns, tiny: Path) -> None:
    program = stand_ins.install("llamafile", name="Other-7B.llamafile")
    store(program, "--temp", "0", "...", "-m", "Other-7B.gguf")
    with pytest.raises(StartError) as caught:
        await command(tiny, "llamafile", program=str(program))
    assert "whatever model it is given" in caught.value.failure.message
