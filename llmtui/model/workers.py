"""Who sends the requests of a load: processes of this machine, or those of a cluster."""

from __future__ import annotations

from typing import Literal

from llmtui.model.base import Struct


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
