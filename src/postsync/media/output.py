"""Writing files atomically: a temporary name in the target folder, renamed at the end."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import av

from ..errors import MediaError
from .container import one_line


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str], inputs: Sequence[str | os.PathLike[str]] = ()) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it is renamed to `path` when the block succeeds, else removed.

    `inputs` are files that must not be overwritten, also when reached through a link.
    Raises MediaError when the folder is missing or not writable, `path` is a folder or an input, or writing fails.
    """
    path = Path(path)
    check_writable(path, inputs)
    temporary = _temporary_name(path)
    remove = functools.partial(temporary.unlink, missing_ok=True)
    atexit.register(remove)  # a second Ctrl-C may interrupt the removal below
    try:
        yield temporary
        os.replace(temporary, path)
    except (av.FFmpegError, OSError) as error:
        raise MediaError(
            f"{path}: could not be written ({one_line(error)}); check the free space and permissions of its folder"
        ) from error
    finally:
        remove()
        atexit.unregister(remove)


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside `folder`, which replaces it when the block succeeds, and else is removed.

    Raises OSError if it cannot be created.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}.part")
    gone = temporary.with_suffix(".old")
    temporary.mkdir()
    try:
        yield temporary
        if folder.exists():
            folder.rename(gone)
        temporary.rename(folder)
    finally:
        if gone.exists() and not folder.exists():
            gone.rename(folder)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(gone, ignore_errors=True)


def check_writable(path: Path, inputs: Sequence[str | os.PathLike[str]] = ()) -> None:
    """Raise MediaError unless `path` can be written without touching one of `inputs`. Call it before the work.

    A file is created beside `path` and removed: permissions alone are not enough (root, read-only and virtual folders).
    """
    try:
        if path.is_dir():
            raise MediaError(f"{path}: is a folder; name the file to write")
        if path.parent.exists() and not path.parent.is_dir():
            raise MediaError(f"{path}: {path.parent} is a file, not a folder; write elsewhere")
        if not path.parent.is_dir():
            raise MediaError(f"{path}: the folder {path.parent} does not exist; create it or write elsewhere")
        for source in inputs:
            if path.exists() and Path(source).exists() and os.path.samefile(path, source):
                raise MediaError(f"{path}: is the input itself, which is never changed; choose another output")
        attempt = _temporary_name(path)
        try:
            attempt.open("xb").close()
        finally:
            attempt.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise MediaError(
            f"{path}: cannot write into {path.parent} ({one_line(error)}): no permission, or no such place; "
            "choose another output"
        ) from error


def _temporary_name(path: Path) -> Path:
    """A unique hidden name in the same folder, cut to the length that file systems allow."""
    return path.with_name(f".{path.stem[:40]}.{uuid.uuid4().hex[:12]}.part{path.suffix}")
