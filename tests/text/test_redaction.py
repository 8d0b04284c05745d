"""What is a secret, how it may be written, and in which fields of which structs it is looked for."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin
from urllib.parse import quote, quote_plus

import msgspec
import pytest

from llmtui.model import (
    AnyEvent,
    Backend,
    BackendState,
    Failure,
    Iteration,
    LogTail,
    Note,
    Outside,
    Own,
    Plan,
    redacted,
    redactor,
)
from llmtui.model.base import Numbers
from llmtui.text import Redactor, is_ordinary, looks_like_key, redact
from tests import build

#: Keys as providers and programs make them.
KEYS = [
    "sk-proj-Zr8Kq2Lw9Xv3Bn7Tm1Yc5Hd",
    "sk-abcdefgh",
    "hf_QwErTyUiOpAsDfGhJkLzXcVbNm",
    "0b3f8c1e-5a7d-4e2b-9c6f-1d2e3f4a5b6c",
    "9f86d081884c7d659a2feaa0c55ad015",
    "AIzaSyD9x8y7z6w5v4u3t2s1r0q",
    "correct-horse-battery-staple",
    "Tr0ub4dor&3",
    "p4ssw0rd",
    "k/9+Zx==Q8r",
]
#: Keys that frameworks' documents and public reports give: any value does.
PLACEHOLDERS = [
    "ollama",  # OpenHands/OpenHands#6107: "the api key is ollama"
    "default",  # ollama/ollama#11367
    "0",  # xiao-zaiyi/illa-helper#4: a key is required, so it is a number
    "lm-studio",  # OpenHands/OpenHands#419
    "dummy-key",  # openinterpreter/openinterpreter#912
    "EMPTY",
    "none",
    "a",  # OctopusDeploy/Issues#1165: masking "a" or "123" ruined the whole log
    "123",
    "test",  # SEED-platform/seed#3929: every "test" in the log became ***
    "docker",  # nektos/act#231, actions/runner#507: every "docker" became ***
]


def test_a_key_is_not_ordinary() -> None:
    assert [key for key in KEYS if is_ordinary(key)] == []
    assert [word for word in PLACEHOLDERS if not is_ordinary(word)] == []


@pytest.mark.parametrize("value", ["application/json", "text/event-stream", "2024-06-01", "llmtui/0.1.0", "127.0.0.1"])
def test_values_of_usual_headers_are_ordinary(value: str) -> None:
    assert is_ordinary(value)


def test_the_form_of_a_key_is_recognized() -> None:
    assert all(map(looks_like_key, KEYS[:6]))
    names = ["Qwen2.5-7B-Instruct-Q4_K_M.gguf", "meta-llama/Llama-3.1-8B-Instruct", "/models/smollm2-135m", "keep"]
    names += ["hf-internal-testing/tiny-random-gpt2", f"/hub/snapshots/{KEYS[4]}/model.gguf", f"vllm@sha256:{KEYS[4]}"]
    assert not any(map(looks_like_key, names))


@pytest.mark.parametrize("key", [*KEYS, 'quo"te\\d4567'])
def test_a_secret_is_found_as_it_may_be_written(key: str) -> None:
    forms = [key, quote(key, safe=""), quote_plus(key), json.dumps(key), repr(key), "\u200b".join(key)]
    forms += [key.upper(), key.lower(), re.sub("%..", lambda code: code[0].lower(), quote(key, safe=""))]
    for form in forms:
        assert Redactor([key])(f"got {form}, not valid").count("***") == 1, form


def test_a_truncated_secret_is_redacted_unless_a_word_is_left() -> None:
    key = "sk-0123456789abcdef"
    for end in ("", "…", "...", "****cdef", "\nnext"):
        assert redact(f"bad {key[:12]}{end}", [key]).startswith("bad ***")
    assert redact("model deepseek", ["deepseek-9f8a7b6c5d4e3f2a"]) == "model deepseek"
    assert Redactor(["qwen2.5-7b-9f8a7b6c"], clear="qwen2.5-7b")("qwen2.5-7b") == "qwen2.5-7b"


def test_redaction_is_linear() -> None:
    key = "sk-0123456789abcdef"
    for piece in ("sk-01234…", "sk-01234", "sk-01\x00"):
        began = time.thread_time()
        Redactor([key])(piece * 100_000)
        assert time.thread_time() - began < 2.0


def plan_with(key: str = "", header: str = "", **fields: Any) -> Plan:
    headers = {"X-Key": header} if header else {}
    return build.plan(Backend(**({"name": "a", "api_key": key, "headers": headers} | fields)))


def test_the_words_of_a_header_are_secrets() -> None:
    redact = redactor(plan_with(header="Bearer sk-hush-hush"))
    assert redact("Bearer sk-hush-hush, sk-hush-hush, Bearer") == "***, ***, Bearer"
    assert redactor(plan_with(header="a=1; session=0123456789abc"))("0123456789abc") == "***"
    pair = base64.b64encode(b"admin:pa55w0rd!").decode()
    assert redactor(plan_with(header=f"Basic {pair}"))(f"Basic {pair} {pair} admin:pa55w0rd! pa55w0rd! Basic") == (
        "*** *** *** *** Basic"
    )
    assert not redactor(plan_with(header="text/html, application/xml;q=0.9, */*"))


def test_what_the_plan_shows_is_no_secret() -> None:
    shown = "llama-3.1-8b-x9y8z7"
    for place in ({"name": shown}, {"framework": shown}, {"model": f"org/{shown}"}, {"options": {"user": shown}}):
        assert not redactor(plan_with(shown, shown, **place)), place
    assert not redactor(build.plan(Backend(name="a", api_key=shown), prompt=f"Say {shown}."))
    # One that looks like a key, or stands where a key belongs, stays hidden.
    assert redactor(plan_with(KEYS[0], options={"user": KEYS[0]}))
    assert redactor(plan_with(shown, launch=["x", "--api-key", shown], secrets=[shown]))


def test_settings_are_redacted_and_labels_are_not() -> None:
    key = KEYS[0]
    public = plan_with(key, model="m", launch=["serve", "--api-key", key], url=f"http://h/?key={key}").public()
    assert (public.backends[0].launch, public.backends[0].url) == (["serve", "--api-key", "***"], "http://h/?key=***")
    assert public.backends[0].api_key == "" and public.backends[0].headers == {}


def test_only_text_from_outside_is_redacted() -> None:
    key = "failed-connect-9f8a7b"
    redact = Redactor([key])
    failure = Failure(kind="http", message=f"bad {key}", hint=f"{key}?")
    one = build.iteration(key, text=key, finish_reason=key, error=failure)
    assert redacted(one, redact) == build.iteration(
        key, text="***", finish_reason="***", error=Failure(kind="http", message="bad ***", hint="***?")
    )
    assert redacted(build.state(key, log_tail=["x", key]), redact) == build.state(key, log_tail=["x", "***"])
    assert redacted(LogTail(backend=key, lines=[key]), redact) == LogTail(backend=key, lines=["***"])
    assert redacted(Note(text=key, backend=key), redact) == Note(text="***", backend=key)
    unchanged = build.state("a", log_tail=["x"])
    assert redacted(unchanged, redact) is unchanged


def structs(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """Yield the structs that `kind` consists of, except the plan, of which clients get `public()`."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        if kind is not Plan:
            yield kind
            for field in msgspec.structs.fields(kind):
                yield from structs(field.type)
    else:
        for part in get_args(kind):
            yield from structs(part)


def undecided(kind: Any) -> bool:
    """Whether a type contains text that is neither `Outside` nor `Own` nor one of a few words."""
    if kind in (Outside, Own, Numbers) or get_origin(kind) is Literal:
        return False
    return kind in (str, bytes, Any) or any(map(undecided, get_args(kind)))


def test_every_text_of_an_event_is_either_from_outside_or_our_own() -> None:
    """A new field must say which it is: a key must not escape through it, and no key may change our own text."""
    kinds = set(structs(AnyEvent))
    assert {Iteration, BackendState, Failure, Note, LogTail} <= kinds
    fields = [(kind.__name__, field.name, field.type) for kind in kinds for field in msgspec.structs.fields(kind)]
    assert [field for field in fields if undecided(field[2])] == []
