"""Error answers that refuse a system message, in the words of real servers and templates, and others that do not."""

from __future__ import annotations

import json

import pytest

from llmtui.wire.system_refusals import refuses_system, says_nothing


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, '{"object":"error","message":"System role not supported","type":"BadRequestError","code":400}'),  # vLLM
        (500, '{"message":"invalid operation: System role not supported (in chat_template:1)"}'),  # mistral.rs
        (
            500,
            json.dumps(
                {
                    "error": {
                        "code": 500,
                        "message": "While executing CallExpression at line 1, column 69 in source:\n"
                        "Error: Jinja Exception: System role not supported",
                        "type": "server_error",
                    }
                }
            ),
        ),  # llama-server
        (500, '{"error":"chat template prompt error: System role not supported"}'),  # Ollama
        (400, '{"message":"Conversation roles must alternate user/assistant/user/assistant/...","code":400}'),
        (400, '{"message":"Only user and assistant roles are supported!"}'),
        (
            400,
            '{"error":{"message":"Unsupported value: \'messages[0].role\' does not support \'system\' with this '
            'model.","param":"messages[0].role","code":"unsupported_value"}}',
        ),
        (400, '{"error":{"message":"Developer instruction is not enabled for models/gemma-3-1b-it","code":400}}'),
        (422, '{"detail":"role must be one of user, assistant; system is not allowed"}'),
        (400, "system messages are not supported by this model"),
        (400, "This model doesn't support system prompts"),
        (400, "Unknown role: system"),
        (None, "the server reported an error: System role not supported"),
    ],
)
def test_refusals(status: int | None, text: str) -> None:
    assert refuses_system(status, text.encode())


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, '{"error":{"message":"the system is out of memory"}}'),
        (500, "Internal Server Error"),
        (400, "context size exceeded"),
        (400, '{"error":"unknown model \'m\'"}'),
        (404, "System role not supported"),
        (503, "System role not supported"),
        (400, '{"error":{"message":"Unsupported parameter: \'max_tokens\' is not supported with this model."}}'),
        (500, '{"error":"model failed to load, this may be due to resource limitations"}'),
        (400, "the operating system reports an error"),
        (500, "unexpected system error"),
        (500, "no space left on the file system"),
        (500, "could not allocate: not enough system memory"),
        (400, "unknown model; see the system log"),
    ],
)
def test_other_errors_are_no_refusal(status: int | None, text: str) -> None:
    assert not refuses_system(status, text.encode())


def test_a_failure_without_a_reason() -> None:
    assert says_nothing(500, b"Internal Server Error") and says_nothing(500, b"")
    assert says_nothing(500, b'{"detail":"Internal Server Error"}')
    assert not says_nothing(500, b"out of memory") and not says_nothing(400, b"")
