"""The errors postsync raises for what a user can fix. Each message says what is wrong, where, and what to do next."""

from __future__ import annotations


class PostsyncError(Exception):
    """Base of all errors that are the input's or the caller's, not the program's; the CLI prints one line, exit 2."""


class MediaError(PostsyncError):
    """A media file that cannot be read or written: missing, empty, truncated, not a video, no disk space."""


class ConditionError(PostsyncError):
    """A prompt, envelope, reference or other condition that the chosen system does not accept."""


class WeightsError(PostsyncError):
    """Weights that are missing, of another layout, or of another size."""


class Cancelled(PostsyncError):
    """Raised by a step callback to end a run cleanly; nothing is written."""
