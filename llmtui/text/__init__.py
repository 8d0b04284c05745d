"""Text that people read: safe to print (`sanitize`), without secrets (`Redactor`), and numbers in words (`.format`)."""

from llmtui.text.ordinary import is_ordinary, looks_like_key
from llmtui.text.redaction import Redactor, encodable, redact
from llmtui.text.sanitizing import sanitize, sanitize_lines

__all__ = ["Redactor", "encodable", "is_ordinary", "looks_like_key", "redact", "sanitize", "sanitize_lines"]
