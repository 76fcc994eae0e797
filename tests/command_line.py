"""The command line as a user calls it."""

from __future__ import annotations

from postsync import cli


def run(*arguments: object) -> int:
    """Its exit code."""
    try:
        cli.main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0
