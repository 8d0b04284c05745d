"""The fresh line of a prompt: which message of a request has it, and which backends have the same one.

It is a system message before the user's, so that no server puts a default system prompt of its own in its place. Where
a server or a model's chat template takes no system message, it is the first line of the prompt, for every backend with
this model: they are to do the same work.
"""

from __future__ import annotations

from llmtui.engine.backend_run import BackendRun
from llmtui.engine.run import Run
from llmtui.model import BackendState, Iteration, Note
from llmtui.text.format import plural
from llmtui.text.model_names import may_be_same


def agree_on_role(run: Run, backend_run: BackendRun) -> None:
    """Before an iteration, put the line where the other backends with the same model have it: in the prompt, if one of
    them takes no system message."""
    fresh = backend_run.target.fresh
    if fresh.role == "system":
        others = [one for one in run.backends if one.target.fresh.refused]
        if any(_same_model(backend_run.state, one.state) for one in others):
            fresh.refuse()


def record_role(run: Run, backend_run: BackendRun, iteration: Iteration) -> None:
    """After an iteration, record which message had the line.

    If a server took no system message, samples that had one are of other work than those that follow: that is reported.
    """
    fresh = backend_run.target.fresh
    if not run.config.fresh_prompt or fresh.role == backend_run.state.fresh_role:
        return
    if fresh.refused:
        for one in run.backends:
            if one is backend_run or _same_model(backend_run.state, one.state):
                _report_other_work(run, one, iteration)
    run.set_state(backend_run, fresh_role=fresh.role)


def _report_other_work(run: Run, backend_run: BackendRun, newest: Iteration) -> None:
    """Report once how many samples of this attempt had the line as a system message."""
    fresh = backend_run.target.fresh
    before = sum(i.ok and i is not newest for i in run.measured(backend_run))
    if fresh.reported or backend_run.state.fresh_role != "system" or not before:
        return
    fresh.reported = True
    text = (
        f"{plural(before, 'iteration')} had the fresh line as a system message, which a backend with this model "
        "refuses; it is in the prompt from now on: rerun all (R) for equal work"
    )
    run.add_note(Note(text=text, level="warning", backend=backend_run.name))


def _same_model(one: BackendState, two: BackendState) -> bool:
    """Whether these may be one model: by the digest of its file if both are known, else by name."""
    if one.model_digest and two.model_digest:
        return one.model_digest == two.model_digest
    return may_be_same(one.model, two.model)
