"""Random boards: runs of backends whose latencies are far apart, from 0.01 ms to almost three hours."""

from __future__ import annotations

from hypothesis import strategies as st

from llmtui.model import IterationDone
from llmtui.runview.run import RunView
from tests import build

#: Median latencies of two to five backends, in s.
MEDIANS = st.lists(
    st.one_of(st.floats(-5, 4).map(lambda exponent: 10.0**exponent), st.floats(0.05, 2)), min_size=2, max_size=5
)
_DEVIATIONS = (0.0, 0.03, -0.02, 0.01, -0.04)


def board(medians: list[float], rounds: int = 5) -> RunView:
    """A run in which backend `b0`, `b1`... have these median latencies, a tenth of it until the first token."""
    names = [f"b{number}" for number in range(len(medians))]
    run_view = build.run_view(build.plan(*names, iterations=rounds), keep=0)
    for number in range(rounds):
        for name, median in zip(names, medians, strict=True):
            latency_s = max(1e-5, median * (1 + _DEVIATIONS[number % len(_DEVIATIONS)]))
            iteration = build.answered(
                name,
                number + 1,
                latency_s,
                ttft_s=max(1e-5, latency_s / 10),
                itl_s=max(1e-5, latency_s / 70),
                tokens_per_s=64 / latency_s,
            )
            run_view.apply(IterationDone(iteration=iteration))
    for name in names:
        run_view.apply(build.changed(name, planned=rounds))
    return run_view
