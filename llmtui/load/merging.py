"""What several workers report of one turn, as one report."""

from __future__ import annotations

from collections.abc import Sequence

from llmtui.load.messages import Pulse, SliceDone
from llmtui.model import Share


class Pulses:
    """The newest pulse of each worker, added up."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._newest: dict[int, Pulse] = {}

    def add(self, pulse: Pulse) -> Pulse:
        """Take over a worker's pulse, and return how far all are together."""
        self._newest[pulse.worker] = pulse
        every = self._newest.values()
        return Pulse(
            share=_share([each.share for each in every], self._workers),
            elapsed_s=max(each.elapsed_s for each in every),
            sent=sum(each.sent for each in every),
            in_flight=sum(each.in_flight for each in every),
            finished=sum(each.finished for each in every),
            failed=sum(each.failed for each in every),
            counted=sum(each.counted for each in every),
            tokens=sum(each.tokens for each in every),
            refused=sum(each.refused for each in every),
            worker=pulse.worker,
            newest=pulse,
        )


def merged(of: Sequence[SliceDone], *, same_window: bool) -> SliceDone:
    """Return how a turn ended whose workers ended so, in their order.

    In an open loop all have the `same_window`, by the schedule. In a closed loop each has its own, and the common one
    lies between them, each with the weight of its requests.
    """
    windows = {
        number: (done.window_from_s, done.window_to_s)
        for number, done in enumerate(of, 1)
        if done.window_from_s is not None and done.window_to_s is not None
    }
    late = [done.late_from_s for done in of if done.late_from_s is not None]
    from_s, to_s = _common(of, windows, same_window)
    return SliceDone(
        window_from_s=from_s,
        window_to_s=to_s,
        elapsed_s=max((done.elapsed_s for done in of), default=0.0),
        cpu_s=sum(done.cpu_s for done in of),
        halted=any(done.halted for done in of),
        late_from_s=min(late, default=None),
        talks_full=sum(done.talks_full for done in of),
        error=next((done.error for done in of if done.error is not None), None),
        counted=sum(done.counted for done in of),
        workers=len(of),
        busiest_cpu_s=max((done.cpu_s for done in of), default=0.0),
        windows=windows,
        began_s=min((done.began_s for done in of if done.began_s), default=0.0),
    )


def _common(
    of: Sequence[SliceDone], windows: dict[int, tuple[float, float]], same_window: bool
) -> tuple[float | None, float | None]:
    # One worker that did not come so far has no window, and so has the turn none.
    if len(windows) < len(of) or not windows:
        return None, None
    if same_window:
        return min(from_s for from_s, _ in windows.values()), min(to_s for _, to_s in windows.values())
    weights = [done.counted for done in of] if any(done.counted for done in of) else [1] * len(of)
    from_s, to_s = (
        sum(weight * window[end] for weight, window in zip(weights, windows.values(), strict=True)) / sum(weights)
        for end in (0, 1)
    )
    return from_s, to_s


def _share(shares: Sequence[Share], workers: int) -> Share:
    """Where in the turn all are: in the window once the first one is, and behind it once all are."""
    if len(shares) == workers and all(share == "tail" for share in shares):
        return "tail"
    return "settling" if all(share == "settling" for share in shares) else "window"
