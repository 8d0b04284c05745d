"""Which values are ordinary words, which are not redacted wherever the config has them."""

from __future__ import annotations

import re

#: A shorter value occurs in any text by chance: "http", "ollama", "1".
MIN_SECRET_CHARS = 8
#: A value of this length is a secret even if it consists of words.
LONG_CHARS = 20

#: A word in one case, a name in two ("PostgreSQL"), a small number, letters and a number ("v1", "p95"), or a name with
#: its version ("llama3.2").
_WORD = (
    r"(?:[a-z]{1,15}|[A-Z]{1,15}|[A-Z][a-z]{1,14}|[A-Z][a-z]{2,9}(?:[A-Z]{2,4}|[A-Z][a-z]{2,9})"
    r"|[0-9]{1,4}|[A-Za-z]{1,3}[0-9]{1,3}|[a-z]{1,10}[0-9]\.[0-9]{1,2})"
)
_BETWEEN = r"[-_./:,;=+ (){}<>\[\]]"
_WORDS = re.compile(
    rf"{_BETWEEN}{{0,4}}{_WORD}(?:{_BETWEEN}{{1,4}}{_WORD}){{0,19}}{_BETWEEN}{{0,4}}(?:@[0-9]{{1,4}})?|[0-9]{{1,10}}|{_BETWEEN}*"
)
#: An address on this machine, as in a header Host or Referer.
_LOCAL = re.compile(r"(?:https?://)?(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?(?:/[a-z0-9]{0,8}){0,4}")
#: How keys of known providers begin.
_KEY_START = re.compile(r"sk-|(?:hf|gsk|ghp|gho|fw|csk|r8|tgp)_|(?:xai|nvapi|glpat)-|AIza|AKIA|eyJ")
#: Hex or base64 without a word boundary. A path or the name of an image may contain one, but is none.
_RUN = re.compile(r"(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{24,}={0,2}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
#: Longer words of the protocols and of llmtui's options and screens, which our own messages contain.
_PROTOCOL_WORDS = frozenset(
    {
        "--metrics-token-file",
        "--percentile-metrics",
        "/sys/class/powercap/intel-rapl",
        "/v1/chat/completions",
        "LLMTUI_METRICS_TOKEN",
        "X-Content-Type-Options",
        "application/octet-stream",
        "application/openmetrics-text",
        "application/x-ndjson",
        "chat.completion.chunk",
        "comparable_to_fastest",
        "completion_tokens_details",
        "e2el:1000",
        "intel-rapl:*",
        "llamafile=llamafile.json",
        "max_completion_tokens",
        "output_tokens_per_s@8",
        "profile_export.jsonl",
        "profile_export_aiperf.json",
        "prompt_tokens_details",
        "text-generation-launcher",
        "ttft,tpot,e2el",
        "ttft=0.2,tpot=0.05,share=0.95",
        "user@host",
        "x-www-form-urlencoded",
        "~/llmtui/.venv/bin/llmtui",
        "▁▂▃▄▅▆▇█",
    }
)


def is_ordinary(value: str) -> bool:
    """Whether `value` is too ordinary for a secret.

    It is if it has fewer than `MIN_SECRET_CHARS` characters; or fewer than `LONG_CHARS` and consists of words and small
    numbers, as in "lm-studio", "application/json" or "2024-06-01"; or is an address on this machine. A value that
    begins as the keys of a provider do ("sk-") is not ordinary.
    """
    if len(value) < MIN_SECRET_CHARS or value in _PROTOCOL_WORDS or _LOCAL.fullmatch(value):
        return True
    return len(value) < LONG_CHARS and not _KEY_START.match(value) and _WORDS.fullmatch(value) is not None


def looks_like_key(value: str) -> bool:
    """Whether `value` has the form of a key: the beginning of a provider's, a UUID, or a long run of hex or base64."""
    if len(value) < MIN_SECRET_CHARS:
        return False
    provider = _KEY_START.match(value) is not None and "/" not in value
    return provider or _RUN.fullmatch(value) is not None or _UUID.fullmatch(value) is not None
