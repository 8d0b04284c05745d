"""Expands `${NAME}` in a configured backend."""

from __future__ import annotations

import re
from typing import Any

from llmtui.config.errors import ConfigError
from llmtui.config.named_secrets import is_secret_variable
from llmtui.config.places import Place


def expand(value: Any, where: Place, env: dict[str, str], secrets: list[str]) -> Any:
    """Replace `${NAME}` in all texts of `value` by variables of the environment. Add those with keys to `secrets`."""
    if isinstance(value, str):

        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name not in env:
                raise ConfigError(
                    f"{where}: the environment variable {name} is not set; export it or remove ${{{name}}}"
                )
            if is_secret_variable(name, env[name]):
                secrets.append(env[name])
            return env[name]

        if re.search(r"\$\{(?!\w+\})", value):
            raise ConfigError(
                f"{where}: '${{' is not followed by the name of an environment variable and '}}'; write ${{NAME}}"
            )

        return re.sub(r"\$\{(\w+)\}", replace, value)
    if isinstance(value, list):
        return [expand(v, where, env, secrets) for v in value]
    if isinstance(value, dict):
        return {k: expand(v, where, env, secrets) for k, v in value.items()}
    return value
