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
    """After an iteration, record which message had the line. If it changed in the attempt, report that once."""
    state, role = backend_run.state, backend_run.target.fresh.role
    if not run.config.fresh_prompt or role == state.fresh_role:
        return
    before = len(run.measured(backend_run)) - (iteration.phase == "measured")
    if state.fresh_role is not None and before > 0:
        text = (
            f"the fresh line is in the prompt from now on; in {plural(before, 'iteration')} before it was a system "
            "message: rerun all (R) for equal work"
        )
        run.add_note(Note(text=text, level="warning", backend=backend_run.name))
    run.set_state(backend_run, fresh_role=role)


def _same_model(one: BackendState, two: BackendState) -> bool:
    """Whether these may be one model: by the digest of its file if both are known, else by name."""
    if one.model_digest and two.model_digest:
        return one.model_digest == two.model_digest
    return may_be_same(one.model, two.model)
