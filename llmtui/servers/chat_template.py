"""What a model's chat template says about system messages, without running it: it is code of a stranger."""

from __future__ import annotations

import re

#: A branch for a system message that does nothing but raise an error (Gemma 2).
_RAISES = re.compile(r"""["']system["']\s*\)?\s*-?%\}\s*\{\{-?\s*raise_exception\(""")
#: An error that says so.
_SAYS_NOT = re.compile(
    r"""raise_exception\(\s*["'][^"'\n]{0,200}\bsystem\b[^"'\n]{0,80}(?:not (?:supported|allowed)|unsupported)""",
    re.IGNORECASE,
)


def takes_system(template: str) -> bool:
    """Whether a system message reaches the model: the template handles it, and does not refuse it.

    Without a template each server has one of its own, some without a place for it.
    """
    if "system" not in template.lower():
        return False
    return _RAISES.search(template) is None and _SAYS_NOT.search(template) is None
