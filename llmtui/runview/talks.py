"""Conversations in words: the TTFT and the cached share by question, and servers that forget. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from llmtui.model import TalkTurn
from llmtui.runview.level_figures import LevelFigures
from llmtui.runview.level_sentences import at_each_level
from llmtui.runview.run import RunView
from llmtui.text.format import figure, plural

#: A server that takes less than this share of a history from its cache has forgotten it.
FORGOTTEN = 0.01
#: Without a report, the TTFT tells: from the second question on it grows by this share of what the prompt grows by, or
#: more, if all of it is computed.
_GROWS = 0.5
#: From prompts that hardly grow nothing can be told.
_LONGER = 1.3
#: The most questions of a conversation that a sentence lists.
_LISTED = 6


def talk_sentences(run_view: RunView) -> list[str]:
    """Return a sentence for each backend and level with conversations: plain text."""
    return at_each_level(run_view, talk_words)


def talk_words(figures: LevelFigures) -> str:
    """Return what the questions of the conversations waited for, "" without conversations."""
    turns = figures.talk_turns
    if not turns and not figures.talks_failed:
        return ""
    shown = turns if len(turns) <= _LISTED else [*turns[: _LISTED - 1], turns[-1]]
    which = ", ".join(str(each.turn) for each in shown)
    parts = []
    if any(each.ttft_s is not None for each in shown):
        parts.append(f"TTFT of question {which}: {', '.join(figure(each.ttft_s, 's') for each in shown)}")
    if any(each.cached_share is not None for each in shown):
        shares = ", ".join("?" if each.cached_share is None else f"{each.cached_share:.0%}" for each in shown)
        parts.append(f"from the server's cache: {shares} of the prompt")
    parts += filter(None, [forgets(turns)])
    if figures.talks_failed:
        parts.append(f"{plural(figures.talks_failed, 'conversation')} ended with a request that failed")
    if figures.talks_full:
        parts.append(f"{plural(figures.talks_full, 'conversation')} ended early, as the context was full")
    return "; ".join(parts)


def forgets(turns: Sequence[TalkTurn]) -> str:
    """Return that a server computes the history again with each question, "" if it does not or it is unknown."""
    later = [each for each in turns if each.turn > 1]
    if not later:
        return ""
    shares = [each.cached_share for each in later if each.cached_share is not None]
    if shares:
        return "it forgets: no history came from its cache" if max(shares) < FORGOTTEN else ""
    first, last = later[0], later[-1]
    if not (first.ttft_s and last.ttft_s and first.prompt_tokens and last.prompt_tokens):
        return ""
    longer, slower = last.prompt_tokens / first.prompt_tokens, last.ttft_s / first.ttft_s
    if longer < _LONGER or slower - 1 < _GROWS * (longer - 1):
        return ""
    return (
        f"it seems to forget: from question {first.turn} to {last.turn} the prompt is {longer:.1f} times as long and "
        f"takes {slower:.1f} times as long, and no cached tokens are reported"
    )
