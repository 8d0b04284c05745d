"""`--on user@host`: a run on another machine, watched from here."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import tomli

from llmtui.cli.monitor import usual_ui
from llmtui.cli.output import report
from llmtui.cli.past_requests import RequestsThere
from llmtui.cli.racing import at_path
from llmtui.cli.words import meaning
from llmtui.config.file import read
from llmtui.config.named_secrets import named_secrets, secret_env
from llmtui.config.schema import ConfigError, UiConfig, parse
from llmtui.link.line_messages import Continue, Join, Joined, Planned, Start
from llmtui.link.remote import RemoteEngine, RemoteLink
from llmtui.link.ssh import Line, LineError, OtherMachine
from llmtui.model import Backend, secret_values
from llmtui.model.errors import UsageError
from llmtui.text import is_ordinary, sanitize

#: How long `llmtui run` opens a dropped line again and again, in s.
GIVE_UP_S = 900.0


class Typed(msgspec.Struct, frozen=True):
    """What was typed, without what is only for this machine."""

    words: Sequence[str]
    model: str | None
    only: Sequence[str]
    changes: Mapping[str, Any]
    label: str
    store: str


def planned(machine: OtherMachine, typed: Typed, commands: Iterable[str]) -> tuple[RemoteEngine, UiConfig]:
    """Let the other machine make a plan of what was typed. Return its engine, not started yet, and [ui] of here.

    ssh may ask the user. Raises LineError, RefusedError, and UsageError or ConfigError.
    """
    words, text, name = sent_config(typed.words, commands, machine.host)
    start = Start(
        words=words,
        model=typed.model,
        only=list(typed.only),
        changes=dict(typed.changes),
        config=text,
        config_name=name,
        label=typed.label,
        store=typed.store,
    )
    return _plan_there(machine, start, typed.store), usual_ui() if text is None else _ui_of(text)


def continued(
    machine: OtherMachine, again: Continue, config: str | None, commands: Iterable[str]
) -> tuple[RemoteEngine, UiConfig]:
    """Let the other machine plan what is missing of a run in its history. `config` is that of --config.

    Returns and raises what `planned` does.
    """
    here = config is not None and at_path(config) == "file"
    words, text, name = sent_config([*([str(config)] if here else []), *again.words], commands, machine.host)
    again = msgspec.structs.replace(again, words=words, path=None if here else config, config=text, config_name=name)
    return _plan_there(machine, again, again.store), usual_ui() if text is None else _ui_of(text)


def _plan_there(machine: OtherMachine, request: Start | Continue, store: str) -> RemoteEngine:
    line = Line.open(machine)
    try:
        name_versions(line)
        if isinstance(request, Continue) and "continue" not in line.does:
            by_ssh = shlex.join(["ssh", "-t", machine.host, machine.program, "resume", request.run])
            raise LineError(
                f"llmtui {line.version} on {machine.host} does not know resume --on; run it there, as in: {by_ssh}"
            )
        reply = line.ask(request)
        if not isinstance(reply, Planned):
            raise LineError(f"{machine.host}: an unexpected answer")
    except BaseException:
        line.close(0)
        raise
    return RemoteEngine(line, reply.plan, store)


def name_versions(line: Line) -> None:
    """Report the version of llmtui there, if it is another one."""
    import llmtui

    if line.version != llmtui.__version__:
        report(f"{line.machine.host} has llmtui {line.version}, this machine {llmtui.__version__}")


def sent_config(words: Sequence[str], commands: Iterable[str], host: str) -> tuple[list[str], str | None, str]:
    """Return the words for the other machine, the text of the config of this one among them, and its name there.

    Raises UsageError for two configs, and ConfigError.
    """
    rest, path = config_among(words, commands)
    if path is None:
        return rest, None, ""
    text = read(Path(os.path.expanduser(path)))
    refuse_keys(text, path, host)
    return rest, text, f"{Path(path).name} from {os.uname().nodename}"


def config_among(words: Sequence[str], commands: Iterable[str]) -> tuple[list[str], str | None]:
    """Return the words without that of a config on this machine, and the path of that config, if there is one.

    All other words are for the other machine: files, too, that are not here. Raises UsageError for two configs.
    """
    configs = [
        word
        for word in words
        if at_path(word) == "file"
        and not word.lower().endswith(".gguf")
        and meaning(word, at_path, commands).kind == "config"
    ]
    if len(configs) > 1:
        raise UsageError(f"{configs[0]!r} and {configs[1]!r} are two configs; name one")
    return [word for word in words if word not in configs], configs[0] if configs else None


def refuse_keys(text: str, path: str, host: str) -> None:
    """Raise ConfigError if a key is written in a config: keys do not travel to another machine."""
    try:
        table = tomli.loads(text)
    except (ValueError, RecursionError):
        parse(text, source=path, folder=Path())
        return
    entries = table.get("backend", [])
    for number, entry in enumerate(entries if isinstance(entries, list) else [], start=1):
        if isinstance(entry, dict) and any(map(_is_key, _secrets_of(entry))):
            name = sanitize(str(entry.get("name", number)), 40)
            raise ConfigError(
                f"{path}: a key is written in backend {name!r}, and keys are not sent to {host}; write ${{NAME}} in "
                "its place, and set the variable NAME there"
            )


def _secrets_of(entry: Mapping[str, Any]) -> set[str]:
    key, headers = entry.get("api_key"), entry.get("headers")
    values = {str(k): str(v) for k, v in headers.items()} if isinstance(headers, dict) else {}
    bare = {name: value for name, value in entry.items() if name not in ("api_key", "headers")}
    found = [*named_secrets(bare), *secret_env(entry)]
    return secret_values(Backend(api_key=str(key or ""), headers=values, secrets=found))


def _is_key(value: str) -> bool:
    return not is_ordinary(value) and "$" not in value and not all(map(is_ordinary, value.split()))


def _ui_of(text: str) -> UiConfig:
    try:
        return msgspec.convert(tomli.loads(text).get("ui", {}), UiConfig)
    except msgspec.ValidationError:
        return UiConfig()  # the other machine says what is wrong


def watch(engine: RemoteEngine, ui: UiConfig, store: str) -> int:
    """Start the engine of a plan, and show its run in the monitor. Return the exit code as `ui.run.show` does."""
    from llmtui.ui.run import show

    plan = engine.plan
    source = RequestsThere(engine.machine, plan.run, store)
    return show(plan, engine, ui, store=store, source=source, name=engine.machine.run_words(plan.run))


def run_there(engine: RemoteEngine, files: dict[str, Path | None], *, quiet: bool, fail_if: Sequence[str]) -> int:
    """Start the engine of a plan, and print its run as text. Return the exit code as `cli.run.run_as_text` does."""
    from llmtui.cli.run import run_as_text
    from llmtui.runview.limits import parse_limits

    plan = engine.plan
    try:
        limits = parse_limits(fail_if, plan)
    except BaseException:
        engine.kill()
        raise
    source = RequestsThere(engine.machine, plan.run, engine.store)
    engine.give_up_after(GIVE_UP_S)
    with contextlib.closing(source):
        code = run_as_text(plan, files, quiet=quiet, limits=limits, engine=engine, source=source)
    if not quiet:
        again = engine.machine.show_words(plan.run, engine.store)
        report(f"run {plan.run} was on {engine.machine.host}; to see it again: {again}")
    return code


def attach(machine: OtherMachine, run: str | None, store: str) -> int:
    """Show an active run of the other machine. Return the exit code. Raises LineError and RefusedError."""
    line = Line.open(machine)
    try:
        name_versions(line)
        joined = line.ask(Join(run=run, store=store))
        if not isinstance(joined, Joined):
            raise LineError(f"{machine.host}: an unexpected answer")
    except BaseException:
        line.close(0)
        raise
    if joined.others:
        others = ", ".join(sanitize(run, 20) for run in joined.others[:10])
        report(f"run {joined.run} is the newest one in progress on {machine.host}; to watch another: {others}")
    line.hush()
    from llmtui.ui.run import show_link

    link = RemoteLink(line, joined.run, store)
    try:
        source = RequestsThere(machine, joined.run, store)
        return show_link(link, ui=usual_ui(), source=source, name=machine.run_words(joined.run))
    except OSError as error:
        raise LineError(f"{machine.host}: run {joined.run}: {error.strerror or error}") from error
    finally:
        link.end(0)


def run_name(name: str) -> tuple[str, str | None] | None:
    """Return host and run of `user@host[:RUN]`, None if `name` is not of this form."""
    user, at, rest = name.partition("@")
    if not at or not user:
        return None
    if "://" in user:
        return name, None  # an address, which may end in a port
    host, colon, run = rest.rpartition(":") if not rest.endswith("]") else (rest, "", "")
    if not colon:
        return f"{user}@{rest}", None
    return f"{user}@{host}", run or None
