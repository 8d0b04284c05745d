"""`llmtui history --prune`: deletes old runs by a rule, after it has said which and asked."""

from __future__ import annotations

import sys

import click

from llmtui import exit_codes
from llmtui.cli.history import opened
from llmtui.cli.output import report
from llmtui.model.errors import UsageError
from llmtui.store import run_filter
from llmtui.store.pruning import Prunable, Rule, give_back, prunable, prune
from llmtui.text import sanitize
from llmtui.text.format import plural

#: How many of the runs that would be deleted are named.
_NAMED = 10
_MB = 1e6


def prune_history(path: str, *, keep: int | None, older_than: str, yes: bool) -> int:
    """Delete the runs beyond the newest `keep` that are `older_than` a time. Return the exit code.

    Asks on a terminal, unless `yes`. Raises StoreError, and UsageError without a rule, or where nothing can be asked.
    """
    if keep is None and not older_than:
        raise UsageError("--prune needs a rule: --keep 50, --older-than 90d, or both")
    before = run_filter.since_utc(older_than) if older_than else ""
    if before is None:
        raise UsageError(f"--older-than: {older_than!r} is not a time such as 90d, 12w or 2026-01-31")
    with opened(path) as store:
        found = prunable(store, Rule(keep=keep, before_utc=before))
        kept = _kept(found)
        if not found.runs:
            report(f"nothing to delete{kept}")
            return exit_codes.OK
        report(f"to delete from {store.path}: {_listed(found)}{kept}")
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError("nothing was deleted; to delete these runs without a question, add --yes")
            if not click.confirm(f"Delete {plural(len(found.runs), 'run')}?", err=True):
                report("nothing was deleted")
                return exit_codes.OK
        deleted = prune(store, [run.run for run in found.runs])
        freed = give_back(store)
    space = f"the file is {freed / _MB:.1f} MB smaller" if freed > 0 else "the next runs use their space in the file"
    report(f"deleted {plural(deleted, 'run')}; {space}")
    return exit_codes.OK


def _listed(found: Prunable) -> str:
    """How many runs, from when, and the ids of the first few."""
    days = [sanitize(run.created_utc[:10]) for run in found.runs]
    newest, oldest = max(days), min(days)
    count = len(found.runs)
    names = ", ".join(run.run for run in found.runs[:_NAMED]) + (", ..." if count > _NAMED else "")
    return f"{plural(count, 'run')} of {oldest if oldest == newest else f'{oldest} to {newest}'} ({names})"


def _kept(found: Prunable) -> str:
    parts = [f"{plural(found.named, 'run')} with a label or a note"] if found.named else []
    parts += [f"{plural(found.running, 'run')} in progress or still open"] if found.running else []
    return f"; kept: {', '.join(parts)}" if parts else ""
