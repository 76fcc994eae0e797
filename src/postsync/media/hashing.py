"""The content hash of a file: what says whether two files are the same, where sizes and dates do not."""

from __future__ import annotations

import hashlib
from pathlib import Path

from postsync.errors import MediaError
from postsync.media.container import check_readable, one_line


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, hexadecimal. Raises MediaError where it cannot be read."""
    check_readable(Path(path))
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MediaError(f"{path}: could not be read ({one_line(error)}); check the disk, or copy the file") from error
