"""No key travels: it is taken out of a slice, and put in again from the environment of the other machine."""

from __future__ import annotations

import msgspec
import pytest

from llmtui.cluster.messages import encode
from llmtui.cluster.sealing import SealError, sealed, unsealed
from llmtui.load.messages import Slice
from llmtui.model import Backend, RunConfig, redactor
from llmtui.wire import dialect_for
from tests import build
from tests.load.helpers import slice_for

KEY = 'sk-1234567890abcdef"\\'
THEIRS = "sk-theirs-0987654321"


def of_backend(backend: Backend) -> Slice:
    """A slice whose requests are those of this backend."""
    request = dialect_for(backend).request(backend, RunConfig(), "hi", "truth")
    of = slice_for(backend.url, streams=1, requests=1)
    template = msgspec.structs.replace(of.template, body=request.body)
    return msgspec.structs.replace(of, backend=backend, url=request.url, headers=request.headers, template=template)


def with_key(**fields: object) -> Slice:
    """A slice of a backend with keys."""
    return of_backend(Backend(name="a", url="http://10.0.0.1:80", model="m", **fields))  # type: ignore[arg-type]


def test_a_key_does_not_travel_and_is_that_of_the_other_machine() -> None:
    of = with_key(api_key=KEY, headers={"X-Org": KEY, "X-Plain": "yes"}, options={"user": KEY}, secrets=[KEY])
    redact = redactor(build.plan(of.backend))
    given = sealed(of, redact, {"OTHER": "x", "MY_KEY": KEY})
    data = encode(given)
    assert b"sk-1234567890" not in data and b"MY_KEY" in data
    back, keys = unsealed(given, {"MY_KEY": THEIRS})
    assert keys == [THEIRS]
    assert back.headers["Authorization"] == f"Bearer {THEIRS}" and back.headers["X-Org"] == THEIRS
    assert back.headers["X-Plain"] == "yes"
    assert msgspec.json.decode(back.template.body)["user"] == THEIRS
    again, _ = unsealed(given, {"MY_KEY": KEY})
    assert (again.headers, again.template, again.url) == (of.headers, of.template, of.url)


def test_a_key_that_the_other_machine_lacks_is_named() -> None:
    of = with_key(api_key=KEY)
    given = sealed(of, redactor(build.plan(of.backend)), {"MY_KEY": KEY})
    with pytest.raises(SealError, match="the environment variable MY_KEY is not set there"):
        unsealed(given, {"MY_KEY": ""})


@pytest.mark.parametrize(
    "fields", [{"api_key": KEY}, {"headers": {"X-Key": KEY}}, {"options": {"token": KEY}, "secrets": [KEY]}]
)
def test_a_key_that_stands_in_the_config_is_refused(fields: dict[str, object]) -> None:
    of = with_key(**fields)
    with pytest.raises(SealError, match="keys do not travel") as refused:
        sealed(of, redactor(build.plan(of.backend)), {})
    assert "sk-1234567890" not in str(refused.value)


def test_a_slice_without_keys_travels_as_it_is() -> None:
    of = with_key(headers={"X-Plain": "text/plain"})
    back, keys = unsealed(sealed(of, redactor(build.plan(of.backend)), {"PLAIN": "text/plain"}), {})
    assert keys == [] and back.headers == of.headers and back.template == of.template
