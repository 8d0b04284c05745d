"""Text that people read: safe to print (`sanitize`), without secrets (`redact`), and numbers in words (`.format`)."""

from llmtui.text.redaction import redact, redact_data
from llmtui.text.sanitizing import sanitize, sanitize_lines

__all__ = ["redact", "redact_data", "sanitize", "sanitize_lines"]
