"""Names the workers, and the scheduler, whose Python or Dask is another version than ours. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from llmtui.text.format import plural

#: How messages call what is compared: of Python the first two numbers.
COMPARED = {"python": "Python", "distributed": "distributed"}
_MOST_NAMES = 6


def other_llmtui(there: str, here: str) -> str:
    """Return why a worker with another version of llmtui cannot be used."""
    return f"llmtui {there} is installed there and {here} here; install the same version on both machines"


def mismatches(ours: Mapping[str, str], theirs: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return a sentence for each group of machines that have the same other versions. `theirs` are by their names.

    A version that is not known ("" or left out) is not another one.
    """
    groups: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, versions in theirs.items():
        if other := tuple(key for key in COMPARED if _differs(key, ours, versions)):
            groups[tuple(f"{COMPARED[key]} {_short(versions[key])}" for key in other)].append(name)
    return [
        f"{_names(names)} {'has' if len(names) == 1 else 'have'} {' and '.join(there)}, and here it is "
        f"{' and '.join(_here(ours, there))}; install the same versions everywhere"
        for there, names in groups.items()
    ]


def _differs(key: str, ours: Mapping[str, str], theirs: Mapping[str, str]) -> bool:
    one, other = ours.get(key, ""), theirs.get(key, "")
    if not one or not other:
        return False
    # The third number of a Python is a set of fixes.
    return one.split(".")[:2] != other.split(".")[:2] if key == "python" else one != other


def _here(ours: Mapping[str, str], there: tuple[str, ...]) -> list[str]:
    return [
        f"{title} {_short(ours[key])}"
        for key, title in COMPARED.items()
        if any(t.startswith(f"{title} ") for t in there)
    ]


def _short(version: str) -> str:
    """Return a version without what Dask adds to that of a Python: "3.11.9.final.0"."""
    return version.removesuffix(".final.0")


def _names(names: list[str]) -> str:
    if len(names) > _MOST_NAMES:
        return plural(len(names), "machine")
    return ", ".join(names)
