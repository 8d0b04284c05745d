"""Selects the environment variables of a launched server: all but those that contain keys of other backends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from llmtui.config.schema import SECRET_NAME
from llmtui.model import Backend, secret_values

#: A shorter value ("true", "local") may occur in other variables by chance.
_KEY_CHARS = 8
#: A key of this length is also looked for inside values, as in postgres://user:KEY@host.
_LONG_KEY_CHARS = 12


def withheld_variables(backend: Backend, all_backends: Iterable[Backend], environ: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the variables in `environ` with a key of another backend that `backend` does not share.

    A key is a value of `api_key` or `headers`, or of a variable with a name such as VLLM_KEY.
    """
    others = [one for one in all_backends if one.name != backend.name]
    own = set(secret_values(backend, 1))
    keys = {v for one in others for v in secret_values(msgspec.structs.replace(one, secrets=[]), _KEY_CHARS)}
    secrets = {v for one in others for v in secret_values(one)}
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
