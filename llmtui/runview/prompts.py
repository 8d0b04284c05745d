"""The prompts of a run in words. Pure."""

from __future__ import annotations

from llmtui.config.loads import remarks
from llmtui.model import Plan
from llmtui.runview.loads import load_sentence, search_remarks
from llmtui.runview.mixes import mix_sentence
from llmtui.text.format import plural


def before_sentences(plan: Plan) -> list[str]:
    """Return what a person is told before a run: its load, its prompts, and what speaks against them."""
    sentences = [load_sentence(plan), *remarks(plan.load), *search_remarks(plan)]
    sentences += [mix_sentence(plan.prompts.mix), prompts_sentence(plan), *prompt_remarks(plan)]
    return [sentence for sentence in sentences if sentence]


def prompts_sentence(plan: Plan) -> str:
    """Say back what is asked: which prompts, and in which order; "" if all requests have the prompt of the run."""
    if not plan.prompts.file:
        return ""
    return f"{plan.prompts.title}, {'in the order of the file' if plan.prompts.sample == 'in order' else 'shuffled'}"


def prompt_remarks(plan: Plan) -> list[str]:
    """Return what a person should know about the prompts before the run, a sentence each."""
    facts = plan.prompts.facts
    if facts is None:
        return []
    remarks = []
    what, fresh = f"{facts.what}s", plan.config.fresh_prompt
    most, of = _most_asked(plan)
    if facts.count and most > facts.count:
        cache = "a fresh line before each keeps prefix caches from answering" if fresh else _CACHE
        asked = f"{of} asks {most:,} requests and there are {plural(facts.count, facts.what)}"
        remarks.append(f"{asked}, so that some are asked again: {cache}")
    elif plan.levels and plan.prompts.sample == "in order" and not fresh:
        remarks.append(f"each turn asks the same {what} from the first on: {_CACHE}")
    if facts.lengths_only:
        text = f"{facts.format} has lengths and no texts: each prompt is English text of about its length"
        if "mooncake" in facts.format and fresh:
            text += "; with a fresh line before each, equal hash_ids share no prefix: for that set fresh_prompt = false"
        remarks.append(text)
    return remarks


_CACHE = "a prefix cache may answer them; set fresh_prompt = true in [run], or read cached_tokens"


def _most_asked(plan: Plan) -> tuple[int, str]:
    """Return how many requests ask one after the other, as far as that is known, and what asks them."""
    if not plan.levels:
        return plan.config.iterations, "a backend"
    load = plan.load
    return max(
        (load.requests_of(level) or round(level.rate * load.duration_s) for level in plan.levels), default=0
    ), "a turn"
