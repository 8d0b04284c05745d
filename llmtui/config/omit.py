"""The check of `omit`: the fields that requests to a backend leave out."""

from __future__ import annotations

from llmtui.config.errors import ConfigError, suggestion
from llmtui.config.places import Place
from llmtui.model import Backend
from llmtui.model.request_fields import OPTIONAL_FIELDS, REQUIRED_FIELDS


def check_omit(backend: Backend, where: Place) -> None:
    """Raise ConfigError for fields that cannot be left out."""
    fields = [*OPTIONAL_FIELDS[backend.protocol], *(backend.body or {})]
    for name in backend.omit:
        if name in REQUIRED_FIELDS and name not in fields:
            raise ConfigError(f"{where.key('omit')}: {name!r} is required, so it cannot be left out")
        if name in backend.options:
            raise ConfigError(f"{where.key('omit')}: {name!r} is also in options; remove it from one of them")
        if name not in fields:
            hint = suggestion(name, fields) or "; there is none without body"
            raise ConfigError(f"{where.key('omit')}: protocol {backend.protocol!r} has no field {name!r}{hint}")
        if "{prompt}" in repr((backend.body or {}).get(name)):
            raise ConfigError(f"{where.key('omit')}: {name!r} holds the prompt, so it cannot be left out")
