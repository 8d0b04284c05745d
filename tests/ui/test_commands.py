from __future__ import annotations

import re
import subprocess
import sys

import pytest

from llmtui.ui.actions.dispatch import ACTIONS
from llmtui.ui.actions.footer_order import footer_commands
from llmtui.ui.actions.keys import KEY_NAMES, RESERVED, key_word, resolve_keys
from llmtui.ui.actions.registry import COMMANDS
from llmtui.ui.situation import Situation


def test_ids_and_keys_are_unique_and_not_reserved() -> None:
    assert len({c.id for c in COMMANDS}) == len(COMMANDS)
    assert len({c.key for c in COMMANDS}) == len(COMMANDS)
    assert not RESERVED & {c.key for c in COMMANDS}


def test_documented_keys_exist() -> None:
    shown = {key_word(c.key): c.id for c in COMMANDS}
    assert set("rRsxcmetdqoOhLE?") | {"space", "enter", "esc"} <= set(shown)
    assert shown["?"] == "help"
    assert shown["esc"] == "back"


def test_the_defaults_resolve_to_themselves() -> None:
    assert resolve_keys({}) == {c.id: c.key for c in COMMANDS}


def test_an_override_replaces_one_key_and_accepts_symbols() -> None:
    keys = resolve_keys({"rerun": "f5", "help": "!", "pause": "ctrl+p".replace("p", "b")})
    assert (keys["rerun"], keys["help"], keys["pause"]) == ("f5", "exclamation_mark", "ctrl+b")
    assert keys["stop"] == "s"


def test_two_commands_may_swap_their_keys() -> None:
    keys = resolve_keys({"rerun": "s", "stop": "r"})
    assert (keys["rerun"], keys["stop"]) == ("s", "r")


def test_a_config_of_the_first_release_may_use_a_key_that_a_later_command_has() -> None:
    keys = resolve_keys({"stop": "f", "export": "["})
    assert (keys["stop"], keys["next_failed"]) == ("f", "alt+f")
    assert keys["first_half"] == "alt+left_square_bracket"
    assert resolve_keys({"stop": "f", "next_failed": "F"})["next_failed"] == "F"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"rerum": "z"}, 'did you mean "rerun"?'),
        ({"fly": "z"}, "commands: rerun"),
        ({"rerun": "s"}, 'both have the key "s"'),
        ({"rerun": "1"}, "is reserved"),
        ({"rerun": "ctrl+c"}, "is reserved"),
        ({"rerun": "not a key"}, "is not a key"),
        ({"rerun": ""}, "is not a key"),
        ({"rerun": "hyperkey"}, "is not a key"),
        ({"rerun": "ctrl+escpae"}, 'did you mean "ctrl+escape"?'),
        ({"rerun": "page_up"}, 'did you mean "pageup"?'),
        ({"rerun": "f25"}, "is not a key"),
        ({"rerun": "meta+r"}, "is not a key"),
        ({"rerun": "shift+r"}, 'did you mean "R"?'),
    ],
)
def test_bad_overrides_are_refused(overrides: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        resolve_keys(overrides)


def test_every_key_name_exists_in_textual() -> None:
    from textual.keys import KEY_NAME_REPLACEMENTS, Keys, _character_to_key, key_to_character

    names = {*(key.value for key in Keys), *KEY_NAME_REPLACEMENTS.values()}
    for name in KEY_NAMES:
        character = key_to_character(name)
        assert name in names or (character is not None and _character_to_key(character) == name), name


@pytest.mark.parametrize("key", ["f24", "ctrl+shift+f5", "alt+r", "pageup", "ctrl+left", "~", "ctrl+r"])
def test_valid_keys_are_accepted(key: str) -> None:
    assert resolve_keys({"rerun": key})["rerun"]


def test_the_help_stays_aligned_with_long_keys() -> None:
    from llmtui.ui.screens.help import help_rows

    lines = ["".join(text for text, _ in line) for _, line in help_rows(resolve_keys({"hide": "ctrl+shift+f12"}))]
    places = {line.index(c.help) for c in COMMANDS for line in lines if c.help in line}
    assert len(places) == 1


def shown(situation: Situation) -> dict[str, str]:
    return {c.id: c.word(situation) for c in footer_commands(situation)}


def test_the_footer_shows_what_applies_now() -> None:
    running = shown(Situation(phase="running", backends=3, resting=1, results=True, selected="running"))
    assert running["pause"] == "Pause"
    assert "stop" in running
    assert "rerun" not in running
    assert "rerun_all" not in running
    paused = shown(Situation(phase="paused", backends=3, resting=1, selected="done", hidden=True))
    assert paused["pause"] == "Resume"
    assert paused["hide"] == "Show"
    assert "rerun" in paused
    assert "stop" not in paused
    assert "export" not in paused
    done = shown(Situation(phase="done", backends=3, resting=3, results=True, selected="done"))
    assert "rerun_all" in done
    assert "pause" not in done


def test_without_an_engine_no_engine_command_applies() -> None:
    gone = shown(Situation(phase="gone", backends=3, resting=3, results=True, selected="done"))
    assert not {"rerun", "stop", "pause", "rerun_all"} & set(gone)
    assert {"export", "metric", "quit"} <= set(gone)


def test_every_command_has_a_footer_word_and_a_help_line() -> None:
    for command in COMMANDS:
        assert command.label
        assert command.help
        assert len(command.help) <= 64, f"{command.id}: wraps on the help screen"


def test_the_registry_and_the_options_import_without_textual() -> None:
    code = (
        "import sys, llmtui.ui.actions.registry, llmtui.config.schema;"
        "sys.exit(any(m.split('.')[0] in ('textual', 'rich', 'plotext') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_command_has_a_function_of_its_own() -> None:
    assert list(ACTIONS) == [command.id for command in COMMANDS]
    assert len(set(ACTIONS.values())) == len(COMMANDS)


def test_the_first_frame_does_not_wait_for_plotext() -> None:
    code = "import sys, llmtui.ui.app; sys.exit('plotext' in sys.modules or 'httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_empty_table_does_not_import_the_statistics() -> None:
    code = """
import sys
from llmtui.ui.views.table import table_lines
from tests.ui import canned_run as canned
from llmtui.runview.run import RunView

run_view = RunView(canned.plan())
assert table_lines(run_view, "latency", 120, frozenset(), "llama.cpp")
sys.exit("llmtui.stats.verdict" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
