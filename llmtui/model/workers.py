"""Who sends the requests of a load: processes of this machine, or those of a cluster."""

from __future__ import annotations

from typing import Literal

from llmtui.model.base import Outside, Struct


class Workers(Struct, frozen=True, forbid_unknown_fields=True):
    """The processes that send the requests of a load (`[workers]`). A race needs none.

    `count` is how many they are at most: a level of 4 streams has no work for more than 4. "auto" is one, and one more
    for levels at which that is not enough. `scheduler` is the address of a Dask scheduler whose workers send them, ""
    for processes of this machine. Without TLS anybody who reaches a scheduler may run programs on its workers:
    `insecure_cluster` allows that.
    """

    count: int | Literal["auto"] = "auto"
    scheduler: str = ""
    insecure_cluster: bool = False

    @property
    def given(self) -> bool:
        """Whether they are other than those that a load has by default."""
        return self != Workers()


class WorkerFigures(Struct, frozen=True):
    """What one worker of a cluster did in a turn, and how far its figures can be trusted.

    `worker` is its number in the turn, which its requests have too, 0 if it is alone; `name` is how messages call it.
    `requests` of it are in the window, and `ttft_s` is the median of the good ones. `connect_s` is how long the fastest
    of five TCP connections from there to the server took, measured once in a run. Its clock was known to within
    `clock_within_s` in the whole turn, with what it drifted meanwhile. `own_error_s` is the p95 of the error of a TTFT
    by the record of `llmtui accuracy` on that machine at this load, None without such a record. `others` are the other
    runs that measured on that machine at the beginning or the end of the turn.
    """

    worker: int
    name: Outside
    requests: int = 0
    ttft_s: float | None = None
    connect_s: float | None = None
    clock_within_s: float = 0.0
    own_error_s: float | None = None
    others: int = 0
