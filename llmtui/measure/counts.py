"""The server's counts of tokens, and what of them can be true of the answer that arrived.

Rates are of what arrived. A count that contradicts the answer is not used: the events with output are counted instead.
`llmtui explain measure` has the rules.
"""

from __future__ import annotations

import dataclasses
import re

from llmtui.measure.answer import INVISIBLE, Answer, visible_bytes
from llmtui.model import TokenSource
from llmtui.model.finish_words import ended_by
from llmtui.text.format import plural

#: Tokens that a server may add to a prompt: its chat template and a system prompt of its own.
TEMPLATE_TOKENS = 16_384
#: Tokens that a server may count without sending them as text: the end of the answer, marks around its thinking.
HIDDEN_TOKENS = 16
#: A count that did not change while more events than this arrived is not the count of the whole answer.
_STEADY_EVENTS = 2
#: An answer that ended by its limit, with at least this share of as many events, has all tokens of the limit: parts of
#: a character come in one event.
_LIMIT_SHARE = 0.9
#: Servers that stream letter by letter send at most this many letters per event, and at most this many per token.
_LETTERS_PER_EVENT = 1.5
_LETTERS_PER_TOKEN = 8
_WORD = re.compile("[A-Za-z]+")
#: White space, but for one blank before a word.
_BLANKS = re.compile(r"\s(?![A-Za-z])|[^\S ]")
_PUNCTUATION = re.compile(r"[!-@\[-`{-~]")
_NOT_ASCII = re.compile("[^\x00-\x7f]+")


@dataclasses.dataclass(frozen=True)
class Count:
    """The output tokens of an answer and the source of their number, None if no number can be true.

    `arrived` are those to compute rates from, None if there is none: tokens whose arrival was seen, without the end of
    the answer. `hidden` is the number of tokens that the server counts and did not send. `doubt` says why its count is
    not used, "" if it is.
    """

    tokens: int | None
    source: TokenSource | None
    arrived: int | None
    hidden: int = 0
    doubt: str = ""


def token_count(answer: Answer) -> Count:
    """Judge the server's count of output tokens. It is preferred to the number of events wherever it can be true."""
    reported = answer.output_tokens
    if reported is None:
        return _by_limit(answer) or _by_events(answer)
    thought = _unsent_thinking(answer, reported)
    if thought > HIDDEN_TOKENS:
        what = f"the server counts {thought:,} tokens of thinking that it did not send"
        if answer.streamed:
            return _by_events(answer, what, hidden=thought)
        visible = reported - thought
        tokens = visible if 0 < visible <= token_room(answer) + HIDDEN_TOKENS else None
        return Count(tokens, _source(answer) if tokens is not None else None, None, thought, what)
    events = answer.events
    most = max(min(events, answer.text_bytes), token_room(answer) if reported > events else 0)
    if reported > most + HIDDEN_TOKENS:
        return _by_events(answer, _too_many(answer, reported), hidden=reported - events)
    if (asked := answer.max_tokens) is not None and reported > asked + HIDDEN_TOKENS:
        return _by_events(answer, _more_than_asked(reported, asked))
    if contradiction := _contradiction(answer, reported):
        return _by_events(answer, contradiction)
    arrived = reported - thought if thought < reported else reported
    # Servers count the end-of-sequence token, which never arrives (llama.cpp, transformers, vLLM, Ollama).
    if reported > most or (ended_by(answer.finish_reason) == "stop" and arrived == events + 1):
        arrived = events
    return Count(reported, _source(answer), arrived if asked is None or arrived <= asked else None)


def _source(answer: Answer) -> TokenSource:
    return answer.token_source or "usage"


def _by_limit(answer: Answer) -> Count | None:
    """Count the tokens that were asked for, if the server reports none and says that the limit ended the answer.

    It does not include an end-of-sequence token. With far fewer events something else ended it, such as a full context.
    """
    limit = answer.max_tokens
    if limit is None or not answer.streamed or ended_by(answer.finish_reason) != "length":
        return None
    return Count(limit, "limit", limit) if _LIMIT_SHARE * limit <= answer.events <= limit else None


def _by_events(answer: Answer, doubt: str = "", hidden: int = 0) -> Count:
    """Count the events with output. They mean nothing if the answer is one document, or if they are too many."""
    events, limit = answer.events, answer.text_bytes
    if answer.max_tokens is not None:
        limit = min(limit, answer.max_tokens)
    if not answer.streamed or events > limit + HIDDEN_TOKENS:
        return Count(None, None, None, hidden, doubt)
    return Count(events, "arrivals", None if hidden or events > limit else events, hidden, doubt)


def _unsent_thinking(answer: Answer, reported: int) -> int:
    """The tokens that the server calls thinking, and that cannot be in what it sent."""
    thinking = answer.reasoning_tokens or 0
    if not thinking:
        return 0
    if not answer.reasoning_events and reported >= thinking:
        # Some servers send the thinking as part of the answer: then there is more than the rest of the count.
        if answer.streamed and answer.events > reported - thinking + 1:
            return 0
        if answer.text.lstrip().startswith("<think"):
            return 0
    sent = max(answer.reasoning_events, _room(answer.reasoning))
    return thinking - answer.reasoning_events if thinking > sent + HIDDEN_TOKENS * bool(sent) else 0


def _contradiction(answer: Answer, reported: int) -> str:
    """Why this count is not that of the answer: fewer tokens than events, or a count that is not cumulative."""
    events = answer.events
    if not answer.streamed:
        return "" if reported or not events else "the server reports 0 output tokens for an answer with text"
    pieces = events - answer.tool_events
    too_many_events = answer.max_tokens is not None and events > answer.max_tokens + HIDDEN_TOKENS
    if not reported or (pieces > reported + 1 and not too_many_events and not _by_letters(answer, reported)):
        tokens = plural(reported, "output token")
        return f"the server reports {tokens} for {plural(events, 'piece')} of text"
    if abs(reported - events) <= 1:
        return ""
    if answer.count_fell:
        return "the server's count of output tokens goes down while text arrives"
    if answer.counted_at is not None and events - answer.counted_at > _STEADY_EVENTS:
        return f"the server reports {plural(reported, 'output token')} from the start, while text goes on arriving"
    return ""


def _by_letters(answer: Answer, reported: int) -> bool:
    """Whether the answer came letter by letter, so that an event is only a part of a token."""
    letters = sum(len(word) for word in _WORD.findall(answer.text))
    return (
        2 * letters > len(answer.text)
        and len(answer.text) <= _LETTERS_PER_EVENT * answer.events
        and len(answer.text) <= _LETTERS_PER_TOKEN * reported
    )


def token_room(answer: Answer) -> int:
    """The most tokens that the output can have: see `most_tokens`. Only the first part of a long one is looked at."""
    size = answer.text_bytes
    sample = "".join((answer.text, answer.reasoning, answer.tool))
    seen = visible_bytes(sample)
    return _room(sample) * size // seen if seen else size


def _room(text: str) -> int:
    return min(visible_bytes(text), most_tokens(INVISIBLE.sub("", text)))


def most_tokens(text: str) -> int:
    """The most tokens that ordinary text is split into, by any tokenizer in use.

    A word of Latin letters has at most one token for its first letter and two for every five more. Any other character
    of ASCII is a token. Of everything else each byte may be one. A single blank belongs to the word after it.
    """
    words = sum(1 + (len(word) - 1) * 2 // 5 for word in _WORD.findall(text))
    others = sum(len(run.encode("utf-8", "replace")) for run in _NOT_ASCII.findall(text))
    return words + others + len(_PUNCTUATION.findall(text)) + len(_BLANKS.findall(text))


def _more_than_asked(reported: int, asked: int) -> str:
    return f"the server reports {reported:,} output tokens, more than the {asked:,} requested"


def _too_many(answer: Answer, reported: int) -> str:
    asked = answer.max_tokens
    if asked is not None and reported > asked + HIDDEN_TOKENS:
        return _more_than_asked(reported, asked)
    size = plural(answer.text_bytes, "byte")
    return f"the server reports {reported:,} output tokens, too many for the text it sent ({size})"


def doubt_of(answer: Answer) -> str:
    """Return why a token count of the server is not used, and what is used in its place; "" if all are plausible."""
    count = token_count(answer)
    asked, prompt = answer.max_tokens, answer.prompt_tokens
    if count.doubt and count.hidden:
        return f"{count.doubt}: hidden tokens; no tokens/s is computed, and its times include them"
    if count.doubt:
        instead = "arrivals are counted instead" if count.source == "arrivals" else "no rate is computed from it"
        return f"{count.doubt}; {instead}: check the server's usage"
    if answer.output_tokens is None and answer.streamed and asked is not None and count.tokens is None:
        what = f"the server sent {answer.events:,} pieces of text for {asked:,} tokens and no token count"
    elif prompt is not None and prompt_count(answer) is None:
        what = f"the server reports {prompt:,} prompt tokens, too many for the {answer.sent_bytes:,} bytes sent"
    else:
        return ""
    return f"{what}; no rate is computed from it: check the server's usage"


def prompt_count(answer: Answer) -> int | None:
    """Return the number of prompt tokens; None if the server reports none or more than the bytes sent plus a long chat
    template.

    Where more are cached than the prompt has, the server counts only the rest as the prompt (Anthropic's convention).
    """
    reported = answer.prompt_tokens
    if reported is None or reported > _most_prompt(answer):
        return None
    cached = answer.cached_tokens or 0
    return reported + cached if reported < cached <= _most_prompt(answer) - reported else reported


def cached_count(answer: Answer) -> int | None:
    """Return the server's count of cached prompt tokens; None if it reports none or more than the prompt has."""
    reported = answer.cached_tokens
    limit = _most_prompt(answer) if answer.prompt_tokens is None else prompt_count(answer) or 0
    return reported if reported is not None and reported <= limit else None


def _most_prompt(answer: Answer) -> int:
    return answer.sent_bytes + TEMPLATE_TOKENS
