"""Keys that are ordinary words change nothing that llmtui says, and real keys appear nowhere.

Public reports: a key that every server ignores is required, so it is "ollama" (OpenHands/OpenHands#6107), "lm-studio"
(OpenHands/OpenHands#419), "default" (ollama/ollama#11367) or "0" (xiao-zaiyi/illa-helper#4). A masked word ruins the
output around it: "test" (SEED-platform/seed#3929), "docker" (nektos/act#231, actions/runner#507), "a" or "123"
(OctopusDeploy/Issues#1165). Keys escape in the messages of errors: in a URL (BerriAI/litellm#31342), and in what a
server or a library repeats (steve-goldberg/NocoBot#3).
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from llmtui.config.schema import parse
from llmtui.model import (
    AnyEvent,
    Backend,
    BackendChanged,
    Failure,
    IterationDone,
    LogTail,
    Note,
    Plan,
    redacted,
    redactor,
)
from tests import build
from tests.odd.running import run
from tests.odd.server import Reply, Request, delta, friendly, odd, usage
from tests.odd.vocabulary import sentences, words

RANDOM = "sk-proj-Zr8Kq2Lw9Xv3Bn7Tm1Yc5Hd"


def plan_with(key: str) -> Plan:
    """A plan whose backends have `key` as their key and in a header."""
    names = ("llama.cpp", "a", "Ollama")
    headers = {"X-Key": key, "Authorization": f"Bearer {key}"}
    backends = [Backend(name=n, framework=n, url="http://h:1/v1", api_key=key, headers=headers) for n in names]
    return build.plan(*backends, run="ab12cd34", created_utc="2026-11-22T15:00:00Z")


def canned_events() -> list[AnyEvent]:
    """The events of a run with states, samples, failures and notes of each kind."""
    refused = Failure(kind="http", message="HTTP 401: no route", hint="set api_key for this backend")
    lost = Failure(
        kind="protocol", message="connection lost before the first token", hint="the server may have crashed"
    )
    return [
        *(BackendChanged(backend=build.state("a", state=word)) for word in ("loading", "ready", "running", "done")),
        BackendChanged(
            backend=build.state("llama.cpp", version="b6940", model="smollm2", weights="Q8_0", url="http://h:1")
        ),
        BackendChanged(
            backend=build.state("Ollama", state="failed", failure=refused, log_tail=["error: exit", "stop"])
        ),
        IterationDone(iteration=build.answered("a", 1, 1.0, text="stop at length", stamp="kernel", run="ab12cd34")),
        IterationDone(iteration=build.answered("a", 2, 1.5, finish_reason="stop", phase="warmup", run="ab12cd34")),
        IterationDone(iteration=build.iteration("Ollama", 1, None, error=lost, run="ab12cd34")),
        Note(text="HTTP 429, asks to wait 2 s", level="warning", backend="a"),
        LogTail(backend="llama.cpp", lines=["main: server is listening on http://127.0.0.1:8080"]),
    ]


EVENTS = canned_events()


def everything(plan: Plan) -> list[Any]:
    """Return what clients and the history get of a run of `plan`. Exports are made of nothing else."""
    redact = redactor(plan)
    return [plan.public(), *(redacted(event, redact) for event in EVENTS)]


@pytest.mark.slow
def test_every_word_of_the_program_is_as_good_as_a_random_key() -> None:
    """Its own words as key and header change nothing of what a run says."""
    expected = everything(plan_with(RANDOM))
    assert len(words()) > 2_000 and {"running", "measured", "http", "1", "a", "kernel", "latency_s"} <= set(words())
    for word in words():
        assert everything(plan_with(word)) == expected, word


@pytest.mark.slow
def test_no_word_of_the_program_is_redacted_in_a_message() -> None:
    text = sentences()
    assert [word for word in words() if redactor(plan_with(word))(text) != text] == []


def test_a_random_key_is_redacted_in_every_event() -> None:
    plan = plan_with(RANDOM)
    for event in EVENTS:
        text = msgspec.json.encode(event).decode()
        for field in ("text", "message", "hint", "version", "model", "weights", "finish_reason"):
            text = re.sub(rf'"{field}":"', f'"{field}":"{RANDOM} ', text)
        hostile = msgspec.json.decode(text, type=type(event))
        assert RANDOM not in repr(redacted(hostile, redactor(plan)))


# --- Whole runs. ---

WORDS = ["server", "ollama", "lm-studio", "running", "measured", "http", "application/json", "1"]


def words_chat(reply: Reply, request: Request) -> None:
    """Answer, or refuse the key at /denied."""
    if request.path.startswith("/denied"):
        reply.whole({"error": {"message": "the key is not valid"}}, "401 Unauthorized")
    else:
        reply.head()
        reply.stream(4, itl_s=0.001)
        reply.finish(4, "length")


def words_config(url: str, keys: list[str]) -> str:
    text = '[run]\niterations = 1\nwarmup = 0\norder = "sequential"\n'
    for number, key in enumerate(keys):
        place = "/denied" if number == 0 else ""
        text += (
            f"[[backend]]\nname = 'a{number or ''}'\nmodel = 'm1'\nurl = '{url}{place}'\napi_key = {json.dumps(key)}\n"
        )
        text += f"headers = {{ X-Key = {json.dumps(key)}, Accept = 'application/json', X-One = '1' }}\n"
    return text


@pytest.mark.slow
def test_ordinary_keys_change_nothing_in_a_run(tmp_path: Path) -> None:
    """The words of states, phases, messages and protocols as keys: nothing crashes, no sample is lost, all is shown."""
    with odd(words_chat) as server:
        outcome = run(tmp_path, words_config(server.url, WORDS), "--csv", "r.csv", "--markdown", "r.md")
        sent = {request.headers.get("authorization") for request in server.requests}
    assert {f"Bearer {word}" for word in WORDS} <= sent
    files = [(tmp_path / name).read_text() for name in ("r.csv", "r.md")]
    assert "***" not in "".join([outcome.stdout, outcome.stderr, json.dumps(outcome.run), *files])
    denied, *others = sorted(outcome.run["backends"], key=lambda one: one["state"]["name"])
    assert outcome.code == 1, "one backend has no sample"
    assert denied["iterations"][0]["error"] == {
        "kind": "http",
        "message": "HTTP 401: the key is not valid",
        "hint": "check api_key of this backend",
    }
    for number, one in enumerate(others, start=1):
        assert (one["state"]["name"], one["state"]["state"], one["state"]["model"]) == (f"a{number}", "done", "m1")
        (sample,) = one["iterations"]
        assert (sample["phase"], sample["finish_reason"], sample["token_source"]) == ("measured", "length", "usage")
        assert f"llmtui: a{number}: ready: m1" in outcome.stderr


KEYS = [
    RANDOM,
    "hf_QwErTyUiOpAsDfGhJkLzXcVbNm",
    "0b3f8c1e-5a7d-4e2b-9c6f-1d2e3f4a5b6c",
    "9f86d081884c7d659a2feaa0c55ad015",
    "k/9+Zx8Q8rW3vT==",
    "eyJhbGciOi.J9eyJzdWIi.T4Vq0Zr8",
    "correct-horse-battery-staple",
]
ECHO = " ".join([*KEYS, *(quote(key, safe="") for key in KEYS)])


def hostile_routes(reply: Reply, request: Request) -> None:
    """Repeat the keys as model, version and weights."""
    if request.path.endswith("/health"):
        friendly(reply, request)
    else:
        models = [{"id": ECHO, "meta": {"ftype": ECHO}}]
        reply.whole({"data": models, "build_info": ECHO, "model_ftype": ECHO, "version": ECHO, "model_alias": ECHO})


def hostile_chat(reply: Reply, request: Request) -> None:
    """Repeat the keys in one place of the answer, which the path names."""
    place = request.path.strip("/").partition("/")[0]
    if place == "status":
        reply.whole({"error": {"message": f"bad key {ECHO}"}}, f"401 {ECHO}", "application/json", f"X-Echo: {ECHO}")
    elif place == "page":
        reply.whole(f"<html><title>{ECHO}</title></html>", "500 X", "text/html")
    elif place == "move":
        reply.whole(b"", "302 Found", "", f"Location: /{quote(ECHO)}")
    elif place == "header":
        reply.raw(f"HTTP/1.1 200 OK\r\n{ECHO}\r\n\r\n")
    elif place == "later":
        reply.whole({"error": ECHO}, "429 X", "application/json", f"Retry-After: {ECHO}")
    else:
        reply.head(content_type=ECHO if place == "type" else "text/event-stream")
        if place == "junk":
            reply.event("{" + ECHO)
        elif place == "inside":
            reply.event({"error": {"message": ECHO, "type": ECHO, "code": ECHO}})
        else:
            reply.event(delta(ECHO, model=ECHO))
            reply.event(delta(finish=ECHO if place == "finish" else "stop"))
            reply.event(usage(4))
            reply.event("[DONE]")
        reply.end()


PLACES = ("text", "status", "page", "move", "header", "later", "type", "junk", "inside", "finish")
SCRIPT = "import sys; print(*sys.argv); print(*sys.argv, file=sys.stderr); sys.exit(3)"


def hostile_config(url: str) -> str:
    text = '[run]\niterations = 1\nwarmup = 0\norder = "sequential"\ntimeout_s = 5\n'
    launch = [sys.executable, "-c", SCRIPT, *(word for key in KEYS for word in ("--api-key", key))]
    text += f"[[backend]]\nname = 'dies'\nlaunch = {json.dumps(launch)}\n"
    for place in PLACES:
        text += f"[[backend]]\nname = '{place}'\nurl = '{url}/{place}'\napi_key = '{KEYS[0]}'\n"
        headers = {"Authorization": f"Bearer {KEYS[1]}", "X-Key": KEYS[2], "Cookie": f"a=1; session={KEYS[3]}"}
        headers |= {f"X-{number}": key for number, key in enumerate(KEYS[4:])}
        text += "headers = { " + ", ".join(f"{name} = {json.dumps(value)}" for name, value in headers.items()) + " }\n"
    return text


def assert_no_key(text: str, where: str) -> None:
    for key in KEYS:
        for form in (key, quote(key, safe=""), key[:12]):
            at = text.find(form)
            assert at < 0, f"{where}: {text[max(0, at - 80) : at + 60]!r}"


@pytest.mark.slow
def test_a_random_key_that_a_server_repeats_appears_nowhere(tmp_path: Path) -> None:
    with odd(hostile_chat, hostile_routes) as server:
        outcome = run(
            tmp_path, hostile_config(server.url), "--csv", "r.csv", "--iterations-csv", "i.csv", "--markdown", "r.md"
        )
    assert_no_key(outcome.stdout + outcome.stderr, "output")
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.name != "config.toml":
            assert_no_key(path.read_bytes().decode("latin-1"), path.name)
    assert "HTTP 401: bad key ***" in outcome.stdout + outcome.stderr
    assert [one["state"]["name"] for one in outcome.run["backends"]] == ["dies", *PLACES]


@pytest.mark.parametrize(
    ("variable", "value", "shown"),
    [
        ("MODEL_FILE", "/models/smollm2-135m-q8_0.gguf", True),
        ("GPU_LAYERS", "99", True),
        ("QUANT", "Qwen2.5-7B-Instruct-Q4_K_M", True),
        ("KEY_FILE", "/etc/ssl/server-3f.pem", True),
        ("MAX_TOKENS_TOTAL", "4096-token-window-a1b2", True),
        ("VLLM_KEY", "ollama", True),
        ("VLLM_KEY", "x7c5v3b1n9m2", False),
        ("MY_APITOKEN", "x7c5v3b1n9m2", False),
        ("DB_PASS", "x7c5v3b1n9m2", False),
        ("LABEL", RANDOM, False),
        ("LABEL", KEYS[2], False),
    ],
)
def test_a_variable_is_shown_unless_it_is_a_key(variable: str, value: str, shown: bool) -> None:
    text = (
        f"[[backend]]\nname = 'a'\nlaunch = ['serve', 'x=${{{variable}}}']\noptions = {{ user = '${{{variable}}}' }}\n"
    )
    public = parse(text, source="c", folder=Path("/"), environ={variable: value}).plan().public().backends[0]
    assert (public.launch[1], public.options["user"]) == ((f"x={value}", value) if shown else ("x=***", "***"))
