"""The exact bytes of a request with the fresh line of its prompt, in each dialect and in both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmtui.engine.bringup import Target
from llmtui.model import Backend, FreshRole, RunConfig
from llmtui.wire import dialect_for

LINE = "[123456789012]"
OPENAI = (
    b'{"model":"m","messages":[%b],"max_tokens":7,"temperature":0.0,"seed":0,"stream":true,'
    b'"stream_options":{"include_usage":true}}'
)
OLLAMA = b'{"model":"m","messages":[%b],"stream":true,"options":{"temperature":0.0,"seed":0,"num_predict":7}}'
TGI = b'{"inputs":"[123456789012]\\nWhy?","parameters":{"max_new_tokens":7,"seed":0,"details":true}}'
CUSTOM = b'{"role":"user","content":"[123456789012]\\nWhy?"}'
SYSTEM = b'{"role":"system","content":"[123456789012]"},{"role":"user","content":"Why?"}'
USER = b'{"role":"user","content":"[123456789012]\\nWhy?"}'


@pytest.mark.parametrize(
    ("protocol", "role", "body"),
    [
        ("openai", "system", OPENAI % SYSTEM),
        ("openai", "user", OPENAI % USER),
        ("ollama", "system", OLLAMA % SYSTEM),
        ("ollama", "user", OLLAMA % USER),
        ("tgi", "system", TGI),
        ("custom", "system", CUSTOM),
    ],
)
def test_a_fresh_line_is_a_system_message_where_the_protocol_has_one(
    protocol: Any, role: FreshRole, body: bytes, tmp_path: Path
) -> None:
    backend = Backend(name="a", protocol=protocol, url="http://h:1")
    target = Target(backend, RunConfig(max_tokens=7), tmp_path, fresh_role=role)
    assert target.adaptation.request("http://h:1", {}, "Why?", "m", LINE).body == body


@pytest.mark.parametrize("protocol", ["openai", "ollama"])
def test_a_request_without_a_fresh_line_has_no_system_message(protocol: Any) -> None:
    backend = Backend(name="a", protocol=protocol, url="http://h:1")
    template = OPENAI if protocol == "openai" else OLLAMA
    request = dialect_for(backend).request(backend, RunConfig(max_tokens=7), "Why?", "m")
    assert request.body == template % b'{"role":"user","content":"Why?"}'
