"""`postsync doctor`: is this installation sound? Versions, neighbours, devices, codecs, weights, packages of others."""

from __future__ import annotations

import platform
import subprocess
import sys
import timeit
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

CODECS = ("libx264", "aac", "libopus", "libvpx-vp9", "mjpeg")
NEIGHBOURS = ("torchvision", "torchaudio")  # optional, but a broken one breaks transformers and diffusers
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Finding:
    """One line of the report; `advice` says how to fix what is wrong."""

    name: str
    state: str  # "ok" | "note" | "bad"
    text: str
    advice: str = ""


def doctor() -> None:
    """Check the installation; exit code 2 where something is broken."""
    from rich.console import Console
    from rich.table import Table

    colours = {"ok": "green", "note": "yellow", "bad": "red"}
    table = Table(show_header=False, box=None)
    broken = False
    for finding in examine():
        broken |= finding.state == "bad"
        table.add_row(f"[{colours[finding.state]}]{finding.state}[/]", finding.name,
                      finding.text + (f"\n-> {finding.advice}" if finding.advice else ""))
    Console().print(table)
    if broken:
        raise typer.Exit(2)


def examine() -> Iterator[Finding]:
    """All findings, in the order of the report."""
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield from _requirements()
    yield from (_neighbour(name) for name in NEIGHBOURS)
    yield from _devices()
    yield _codecs()
    yield _weights()
    yield from _packages()


def _requirements() -> Iterator[Finding]:
    """Core packages against the package's own requirements and the versions tested together."""
    tested = tested_versions()
    for text in metadata.requires("postsync") or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield compare(requirement, tested.get(canonicalize_name(requirement.name)))


def compare(requirement: Requirement, tested: str | None) -> Finding:
    """Whether a distribution is installed in a version that is required, and which version was `tested`."""
    name = requirement.name
    try:
        installed = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, "bad", "not installed", "reinstall postsync with its constraints.txt")
    if not requirement.specifier.contains(installed, prereleases=True):
        return Finding(name, "bad", f"{installed}, not {requirement.specifier}", f"install '{requirement}'")
    if tested is not None and Version(installed).public != Version(tested).public:
        return Finding(name, "note", f"{installed} (tested with {tested})")
    return Finding(name, "ok", installed)


def tested_versions() -> dict[str, str]:
    """Name -> version from constraints.txt of a checkout; empty for an installed wheel, which does not carry it."""
    path = Path(__file__).resolve().parents[3] / "constraints.txt"
    if not path.is_file():
        return {}
    pins = (line.split("==") for line in path.read_text(encoding="utf-8").splitlines() if "==" in line)
    return {canonicalize_name(name.strip()): version.strip() for name, version in pins}


def _neighbour(name: str) -> Finding:
    """An optional package that must be absent or work; imported in a process of its own, for it may crash."""
    if find_spec(name) is None:
        return Finding(name, "ok", "not installed, and not needed")
    try:
        done = subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True, text=True, check=False,
                              timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return Finding(name, "bad", "import timed out", f"pip uninstall {name}")
    if done.returncode == 0:
        return Finding(name, "ok", "imports")
    reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return Finding(name, "bad", f"present but broken: {reason}",
                   f"pip uninstall {name}; it was built for another torch, and postsync does not need it")


def _devices() -> Iterator[Finding]:
    import torch

    yield Finding("processor", "ok", f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    yield Finding("bfloat16", *_bfloat16())
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield Finding(f"cuda:{index}", "ok", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    if torch.backends.mps.is_available():
        yield Finding("mps", "ok", "available")
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        yield Finding("accelerator", "ok", "none; the mini models do not need one")


def _bfloat16() -> tuple[str, str]:
    """What --dtype bfloat16 gains on this processor: measured, since instructions alone promise nothing."""
    seconds = {dtype: min(timeit.repeat(partial(torch_product, dtype), number=1, repeat=5))
               for dtype in ("float32", "bfloat16")}
    cost = seconds["bfloat16"] / seconds["float32"]
    advice = "--dtype bfloat16 may pay" if cost < 0.8 else "stay with float32"
    return "ok", f"a product of matrices takes {cost:.1f} times as long as in float32: {advice}"


def torch_product(dtype: str, size: int = 512) -> None:
    """One product of square matrices on the processor."""
    import torch

    matrix = torch.ones(size, size, dtype=getattr(torch, dtype))
    torch.mm(matrix, matrix)


def _codecs() -> Finding:
    try:
        import av
    except Exception as error:  # a broken wheel raises more than ImportError
        return Finding("media", "bad", f"PyAV cannot be imported: {error}", "reinstall av")
    missing = [codec for codec in CODECS if not _has_encoder(av, codec)]
    if missing:
        return Finding("media", "note", f"PyAV {av.__version__} without encoders: {', '.join(missing)}",
                       "the wheels of PyAV carry them; a build against the system's FFmpeg may not")
    return Finding("media", "ok", f"PyAV {av.__version__} with {', '.join(CODECS)}")


def _has_encoder(av: object, name: str) -> bool:
    try:
        av.codec.Codec(name, "w")  # type: ignore[attr-defined]
    except ValueError:  # UnknownCodecError
        return False
    return True


def _weights() -> Finding:
    from .. import weights

    names = weights.available()
    if missing := sorted(wanted_weights() - set(names)):
        return Finding("weights", "bad", f"bundled weights missing: {', '.join(missing)}", "reinstall postsync")
    return Finding("weights", "ok", ", ".join(names))


def wanted_weights() -> set[str]:
    """Names of the bundled folders that the systems' presets, their parts and the timing readers load."""
    from .. import registry
    from ..timing.readers import READERS

    ready = [system for system in registry.SYSTEMS.values() if system.available]
    folders = {folder for system in ready for folder in (*system.presets.values(), *system.parts.values())}
    readers = {reader.weights for reader in READERS.values() if reader.weights is not None}
    return {folder for folder in folders | readers if not Path(folder).is_absolute()}


def _packages() -> Iterator[Finding]:
    """Third-party packages that register systems and cannot be used."""
    from .. import registry

    for module, reason in registry.BROKEN.items():
        yield Finding(module, "bad", f"its systems cannot be used: {reason}", "update or uninstall that package")
