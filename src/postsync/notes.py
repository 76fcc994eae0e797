"""Warnings that concern a result: logged, and kept as its notes whatever the log shows."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_kept: ContextVar[dict[str, None] | None] = ContextVar("notes", default=None)


def note(log: logging.Logger, message: str, *values: object) -> None:
    """Log a warning, `message` % `values`; within `kept_notes` it is kept as well."""
    log.warning(message, *values)
    notes = _kept.get()
    if notes is not None:
        notes[message % values if values else message] = None


@contextmanager
def kept_notes() -> Iterator[dict[str, None]]:
    """Within the block, warnings given to `note` are kept; yields them, each once and in order, as keys."""
    notes: dict[str, None] = {}
    token = _kept.set(notes)
    try:
        yield notes
    finally:
        _kept.reset(token)
