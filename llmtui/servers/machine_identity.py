"""What tells machines apart whose own errors, and figures, are compared."""

from __future__ import annotations

import platform

import llmtui
from llmtui.model import Machine
from llmtui.servers.base import allowed_cores
from llmtui.servers.processor import processor_name


def machine_identity() -> Machine:
    """Return processor, cores that this process may use, system, and the versions of what measures."""
    return Machine(
        cpu=processor_name(),
        cores=allowed_cores(),
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        llmtui=llmtui.__version__,
    )
