"""Writing files whole or not at all: a temporary name in the target folder, renamed at the end."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import av

from postsync.errors import MediaError
from postsync.media.container import one_line


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str], inputs: Sequence[str | os.PathLike[str]] = ()) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the name `path` when the block ends well, else it is removed.

    `inputs` are files that must not be overwritten, also when reached through a link.
    Raises MediaError when the folder is missing or not writable, `path` is a folder or an input, or writing fails.
    """
    path = Path(path)
    check_writable(path, inputs)
    temporary = path.with_name(f".{path.stem[:80]}.{uuid.uuid4().hex[:12]}.part{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except (av.FFmpegError, OSError) as error:
        raise MediaError(
            f"{path}: could not be written ({one_line(error)}); check the free space and permissions of its folder"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path, inputs: Sequence[str | os.PathLike[str]] = ()) -> None:
    """Raise MediaError unless `path` can be written without touching one of `inputs`. Call it before the work."""
    if path.is_dir():
        raise MediaError(f"{path}: is a folder; name the file to write")
    if not path.parent.is_dir():
        raise MediaError(f"{path}: the folder {path.parent} does not exist; create it or write elsewhere")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise MediaError(f"{path}: no permission to write into {path.parent}; choose another output")
    for source in inputs:
        if path.exists() and Path(source).exists() and os.path.samefile(path, source):
            raise MediaError(f"{path}: is the input itself, which is never changed; choose another output")
