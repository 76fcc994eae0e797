"""Published weights from a hub: what would be fetched is shown first, then fetched, resumed where it stopped, verified.

Nothing here runs without the user's asking. The client is huggingface_hub's, with its settings (HF_ENDPOINT, HF_TOKEN,
proxies). A branch is resolved to its commit before anything is fetched, and the commit is kept beside the files.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import WeightsError
from ..versions import __version__
from . import PROVENANCE, cache_folder

SAFE, PICKLED = ".safetensors", (".bin", ".pt", ".pth", ".ckpt", ".msgpack", ".h5")


@dataclass(frozen=True)
class Download:
    """Published files on a hub, for `postsync weights fetch NAME`."""

    name: str
    repository: str  # owner/name
    files: tuple[str, ...]  # patterns of paths; pickles are left out where safetensors lie beside them
    licence: str
    used_for: str
    then: str = ""  # the command to run next; {folder} stands for the files' folder
    revision: str = "main"  # a branch or tag; what is fetched is the commit that it names then


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository: bytes, and its SHA-256, or for a small one the SHA-1 of its git blob."""

    size: int
    sha256: str | None
    blob_sha1: str | None


@dataclass(frozen=True)
class Listing:
    """What a download would fetch: the files of one commit, by path, and the licence that its page states."""

    download: Download
    commit: str
    licence: str | None
    files: Mapping[str, RemoteFile]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())


def listing(download: Download, revision: str | None = None) -> Listing:
    """Ask the hub for the files of `download` at `revision` (a branch, tag or commit; default: the download's).

    Raises WeightsError where the hub cannot be reached, refuses, or holds no such repository, revision or file.
    """
    from huggingface_hub import HfApi

    revision = revision or download.revision
    with _spoken(download, revision):
        info = HfApi(endpoint=os.environ.get("HF_ENDPOINT")).model_info(download.repository, revision=revision,
                                                                       files_metadata=True)
        found = {one.rfilename: RemoteFile(one.size or 0, one.lfs.sha256 if one.lfs else None, one.blob_id)
                 for one in info.siblings or ()}
    files = {path: found[path] for path in wanted_files(found, download.files)}
    if not files or info.sha is None:
        raise WeightsError(f"{download.repository} at {revision} holds none of the files of {download.name} "
                           f"({', '.join(download.files)}); name another --revision.")
    licence = info.card_data.get("license") if info.card_data else None
    return Listing(download, info.sha, licence, files)


def wanted_files(paths: Mapping[str, object], patterns: tuple[str, ...]) -> list[str]:
    """The paths that match one of `patterns`, without pickles where safetensors lie in the same folder."""
    matching = [path for path in sorted(paths) if any(PurePosixPath(path).match(pattern) for pattern in patterns)]
    safe = {PurePosixPath(path).parent for path in matching if path.endswith(SAFE)}
    return [path for path in matching if not (path.endswith(PICKLED) and PurePosixPath(path).parent in safe)]


def fetched_folder(name: str) -> Path:
    """Where the download `name` lies; may be absent."""
    return cache_folder() / "hub" / name


def is_fetched(folder: Path, commit: str) -> bool:
    """Whether `folder` holds that commit, whole and verified."""
    record = folder / PROVENANCE
    return record.is_file() and json.loads(record.read_text(encoding="utf-8")).get("commit") == commit


def fetch(found: Listing, folder: Path, on_file: Callable[[str, int], None] | None = None) -> Path:
    """Fetch the files of `found` into `folder` and verify each; what is there already is not fetched again.

    `on_file(path, bytes)` is called before each file. The folder gets its `provenance.json` last: without it, it is not
    whole. Raises WeightsError for lack of space, a connection that stays cut, or a file that differs from the hub's.
    """
    download = found.download
    folder.mkdir(parents=True, exist_ok=True)
    missing = sum(file.size for path, file in found.files.items() if not (folder / path).is_file())
    if missing > (free := shutil.disk_usage(folder).free):
        raise WeightsError(f"{folder}: {download.name} needs {missing / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; "
                           "make room, or name another folder with --to.")
    (folder / PROVENANCE).unlink(missing_ok=True)
    for path, file in found.files.items():
        if on_file is not None:
            on_file(path, file.size)
        if not (folder / path).is_file() or _differs(folder / path, file):
            _fetch_file(found, path, folder / path)
    record = {"name": download.name, "repository": download.repository, "commit": found.commit,
              "licence": found.licence or download.licence, "postsync": __version__,
              "files": {path: {"size": file.size, "sha256": file.sha256} for path, file in found.files.items()}}
    part = folder / f".{PROVENANCE}.part"
    part.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    part.replace(folder / PROVENANCE)
    return folder


def _fetch_file(found: Listing, path: str, target: Path) -> None:
    """One file, by way of a part beside it, at whose end a later run goes on. (The client's own downloads begin anew in
    each process.)"""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    part, file = target.with_name(f".{target.name}.{found.commit[:12]}.part"), found.files[path]
    target.parent.mkdir(parents=True, exist_ok=True)
    with _spoken(found.download, found.commit), part.open("ab") as stream:
        url = hf_hub_url(found.download.repository, path, revision=found.commit,
                         endpoint=os.environ.get("HF_ENDPOINT"))
        http_get(url, stream, resume_size=stream.tell(), headers=build_hf_headers(), expected_size=file.size,
                 displayed_filename=path)
    if difference := _differs(part, file):
        part.unlink()
        raise WeightsError(f"{target}: {difference}, unlike the file on the hub; it was removed, run the command "
                           "again.")
    part.replace(target)


def _differs(path: Path, file: RemoteFile) -> str | None:
    """How a local file differs from the hub's, or None."""
    if (size := path.stat().st_size) != file.size:
        return f"has {size} bytes, not {file.size}"
    digest, expected = hashlib.sha256(), file.sha256
    if expected is None:
        if file.blob_sha1 is None:
            return None
        digest, expected = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False), file.blob_sha1
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return None if digest.hexdigest() == expected else f"has the hash {digest.hexdigest()}"


@contextmanager
def _spoken(download: Download, revision: str) -> Iterator[None]:
    """Turn the client's errors into a sentence that says what to do."""
    from huggingface_hub.errors import (
        GatedRepoError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where = f"{download.name} ({download.repository})"
    try:
        yield
    except GatedRepoError as error:
        raise WeightsError(f"{where}: its owners ask for an agreement; accept it on the repository's page, then give a "
                           "token in HF_TOKEN.") from error
    except RevisionNotFoundError as error:
        raise WeightsError(f"{where} has no revision '{revision}'; name another --revision.") from error
    except RepositoryNotFoundError as error:
        raise WeightsError(f"{where}: the hub holds no such repository, or only for those with a token (HF_TOKEN)."
                           ) from error
    except OfflineModeIsEnabled as error:
        raise WeightsError(f"{where}: HF_HUB_OFFLINE forbids the network; unset it to fetch weights.") from error
    except Exception as error:  # whatever the hub, the network and the disk raise, by the client's version
        raise WeightsError(f"{where}: could not be fetched ({' '.join(str(error).split())[:200]}); check connection "
                           "and disk, and run the command again: it goes on where it stopped.") from error
