"""Selects the environment variables of a launched server: all but those that contain keys of other backends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from llmtui.config.named_secrets import SECRET_NAME
from llmtui.model import Backend, secret_values
from llmtui.text import is_ordinary

#: A shorter value ("on") is not looked for in other variables.
_SECRET_CHARS = 4
#: A key of this length is also looked for inside values, as in postgres://user:KEY@host.
_LONG_KEY_CHARS = 12


def withheld_variables(backend: Backend, all_backends: Iterable[Backend], environ: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the variables in `environ` with a key of another backend that `backend` does not share.

    A key is a value of `api_key` or `headers` that is not an ordinary word, or that of a variable with a name such as
    VLLM_KEY.
    """
    others = [one for one in all_backends if one.name != backend.name]
    own = secret_values(backend)
    secrets = {v for one in others for v in secret_values(one) if len(v) >= _SECRET_CHARS}
    bare = [msgspec.structs.replace(one, secrets=[]) for one in others]
    keys = {v for one in bare for v in secret_values(one) if not is_ordinary(v)}
    long_keys = [key for key in keys if len(key) >= _LONG_KEY_CHARS and key not in own]
    return frozenset(
        name
        for name, value in environ.items()
        if value not in own
        and (
            value in keys
            or (value in secrets and SECRET_NAME.fullmatch(name))
            or any(key in value for key in long_keys)
        )
    )


def secret_variables(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the variables whose names suggest secrets. Downloads and conversions get none of them."""
    return frozenset(name for name in environ if SECRET_NAME.fullmatch(name))
