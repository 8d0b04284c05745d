"""What chat templates of real models say about a system message."""

from __future__ import annotations

import pytest

from llmtui.servers.chat_template import takes_system

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role']}}{% endfor %}"
)
GEMMA_2 = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for message in messages %}"
)
GEMMA_3 = (
    "{{ bos_token }}{%- if messages[0]['role'] == 'system' -%}{%- set first_user_prefix = messages[0]['content'] "
    "+ '\n\n' -%}{%- endif -%}{{ raise_exception('Conversation roles must alternate user/assistant') }}"
)
MISTRAL_1 = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
)
MISTRAL_3 = (
    "{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}{%- endif %}"
    "{{- raise_exception('After the optional system message, conversation roles must alternate') }}"
)
QWEN = "{%- if message.role == 'system' and not loop.first %}{{- raise_exception('System message must be first.') }}"
OTHER_WORDS = '{%- if messages[0].role == "system" -%}\n{{- raise_exception("no") -}}{%- endif -%}'


@pytest.mark.parametrize(
    ("template", "takes"),
    [
        (CHATML, True),
        (GEMMA_2, False),
        (GEMMA_3, True),
        (MISTRAL_1, False),
        (MISTRAL_3, True),
        (QWEN, True),
        (OTHER_WORDS, False),
        ("", False),
    ],
)
def test_a_template_takes_a_system_message_or_not(template: str, takes: bool) -> None:
    assert takes_system(template) is takes
