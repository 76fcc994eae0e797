"""The registry of systems, trainables, guides and downloads: tables gathered from the packages that define them.

A system is a folder and one line in `MODULES`; a third-party package needs no line: it declares its module under the
entry point `postsync.systems`. Tables are plain data (see `protocols/system.py`); code is imported when needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import weights
from .errors import ConditionError, PostsyncError, WeightsError
from .protocols.pipeline import Origin
from .protocols.system import GuideEntry, System, Trainable, checked_options
from .weights.hub import Download

if TYPE_CHECKING:
    import torch

    from .protocols.guide import Guide
    from .protocols.objective import Objective
    from .protocols.pipeline import Pipeline

MODULES = (  # the first system that is available is the default
    "postsync.codecs", "postsync.encoders", "postsync.timing", "postsync.backbones", "postsync.metrics",
    "postsync.systems.foleygram", "postsync.systems.mdg", "postsync.systems.mgaudio", "postsync.systems.vatt",
    "postsync.systems.sounding_video",
)
ENTRY_POINT = "postsync.systems"
DTYPES = ("float32", "bfloat16")

SYSTEMS: dict[str, System] = {}
TRAINABLES: dict[str, Trainable] = {}
GUIDES: dict[str, GuideEntry] = {}
DOWNLOADS: dict[str, Download] = {}
BROKEN: dict[str, str] = {}  # module of another package that could not be used -> reason


def collect(modules: Iterable[str] = MODULES, others: Iterable[EntryPoint] | None = None) -> None:
    """Rebuild the tables. `others`: entry points, by default those of all installed packages; broken ones go into
    `BROKEN`, which `postsync doctor` shows, and the others still work."""
    for table in (SYSTEMS, TRAINABLES, GUIDES, DOWNLOADS, BROKEN):
        table.clear()
    for module in modules:
        _add(import_module(module))
    for other in entry_points(group=ENTRY_POINT) if others is None else others:
        try:
            _add(import_module(other.module))
        except Exception as error:  # whatever fails in a third-party package
            BROKEN[other.module] = f"{type(error).__name__}: {error}"


def _add(module: Any) -> None:
    """Add the tables of a module. Raises PostsyncError if a name is taken."""
    entries: list[tuple[dict[str, Any], System | Trainable | GuideEntry | Download]] = []
    if hasattr(module, "SYSTEM"):
        entries.append((SYSTEMS, module.SYSTEM))
    entries += [(TRAINABLES, entry) for entry in getattr(module, "TRAINABLES", ())]
    entries += [(GUIDES, entry) for entry in getattr(module, "GUIDES", ())]
    entries += [(DOWNLOADS, entry) for entry in getattr(module, "DOWNLOADS", ())]
    for table, entry in entries:
        if entry.name in table:
            raise PostsyncError(f"{module.__name__}: the name '{entry.name}' is taken; choose another.")
    for table, entry in entries:
        table[entry.name] = entry


def system(name: str) -> System:
    """The system `name`; raises PostsyncError naming those that exist."""
    if name not in SYSTEMS:
        raise PostsyncError(f"no system '{name}'; the systems are: {', '.join(SYSTEMS)}.")
    return SYSTEMS[name]


def default_system() -> str:
    """The name of the default system."""
    return next(entry.name for entry in SYSTEMS.values() if entry.available)


def captioning_systems() -> tuple[str, ...]:
    """The names of the systems that say what a clip sounds like."""
    return tuple(name for name, entry in SYSTEMS.items() if entry.available and entry.captions)


def creating_systems() -> tuple[str, ...]:
    """The names of the systems that make pictures with their sound."""
    return tuple(name for name, entry in SYSTEMS.items() if entry.available and entry.creates)


def trainable(name: str) -> Trainable:
    """The trainable `name`; raises PostsyncError naming those that exist."""
    if name not in TRAINABLES:
        raise PostsyncError(f"no trainable '{name}'; choose from: {', '.join(TRAINABLES)}.")
    return TRAINABLES[name]


def download(name: str) -> Download:
    """The published files `name`; raises PostsyncError naming those that can be fetched."""
    if name not in DOWNLOADS:
        raise PostsyncError(f"nothing named '{name}' can be fetched; choose from: {', '.join(DOWNLOADS)}. What lies "
                            "elsewhere is downloaded by hand: postsync weights list.")
    return DOWNLOADS[name]


def load_pipeline(name: str | None = None, preset: str = "mini", *, device: str = "cpu",
                  dtype: str | torch.dtype = "float32", parts: Mapping[str, str | Path] | None = None,
                  progress_bar: bool = True) -> Pipeline:
    """The pipeline of a system, its weights frozen.

    Args:
        name: of the system; None: the default one.
        preset: a preset's name, or the folder of a saved pipeline.
        dtype: "float32", "bfloat16", or a torch dtype.
        parts: folders that replace parts the system shares with others, by the part's name.
        progress_bar: whether diffusers' bars are shown, while loading and while generating.

    Raises PostsyncError for a system or preset that does not exist or is not available yet, ConditionError for an
    unknown device or part, WeightsError for absent or wrong weights.
    """
    entry = system(name or default_system())
    if entry.pipeline is None:
        ready = ", ".join(s.name for s in SYSTEMS.values() if s.available)
        raise PostsyncError(f"{entry.name} (arXiv {entry.arxiv}) is not available in this version yet; use {ready}.")
    device = checked_device(device)
    folders = checked_parts(entry.name, parts or {}, entry.parts)
    pipeline_class, wanted = resolve(entry.pipeline), torch_dtype(dtype)
    try:
        folder = _preset_folder(entry, preset)
        with nullcontext() if progress_bar else _without_bars():
            pipeline = pipeline_class.from_pretrained(folder, torch_dtype=wanted,
                                                      **({"parts": folders} if folders else {}))
    except (PostsyncError, MemoryError):
        raise
    except Exception as error:  # whatever the loaders make of a damaged folder
        raise WeightsError(f"{preset}: cannot be loaded as a pipeline of {entry.name} "
                           f"({' '.join(str(error).split())[:200]}); its files are damaged or missing: save or copy "
                           "the folder again.") from error
    pipeline.origin = Origin(preset, device, str(torch_dtype(dtype)).removeprefix("torch."),
                             {name: str(folder) for name, folder in folders.items()})
    freeze(pipeline)
    if not progress_bar and hasattr(pipeline, "set_progress_bar_config"):  # diffusers'
        pipeline.set_progress_bar_config(disable=True)
    return pipeline if device == "cpu" else pipeline.to(device)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Within the block diffusers and transformers show no bars of loading."""
    from diffusers.utils import logging as diffusers_bars
    from transformers.utils import logging as transformers_bars

    shown = [bars for bars in (diffusers_bars, transformers_bars) if bars.is_progress_bar_enabled()]
    for bars in shown:
        bars.disable_progress_bar()
    try:
        yield
    finally:
        for bars in shown:
            bars.enable_progress_bar()


def _preset_folder(entry: System, preset: str) -> Path:
    """Where the weights of a preset, or of a saved pipeline, lie."""
    if preset in entry.presets:
        return weights.bundled(entry.presets[preset])
    folder = Path(preset)
    if not folder.is_dir():
        raise PostsyncError(f"{entry.name} has no preset '{preset}', and that is not the folder of a saved pipeline; "
                            f"choose from: {', '.join(entry.presets)}.")
    index, kind = folder / "model_index.json", str(entry.pipeline).split(":")[1]
    if index.is_file() and f'"{kind}"' not in index.read_text(encoding="utf-8"):
        raise PostsyncError(f"{preset} is the folder of another system's pipeline, not of {kind}; name the system that "
                            "made it.")
    return folder


def freeze(pipeline: Any) -> None:
    """Disable gradients of all weights of a pipeline, so that a guide computes only those of the latents."""
    from torch import nn

    parts = [pipeline, *vars(pipeline).values(), *getattr(pipeline, "components", {}).values()]
    for part in parts:
        if isinstance(part, nn.Module):
            part.requires_grad_(False).eval()


def checked_device(name: str) -> str:
    """The device if it is available; raises ConditionError naming those that are."""
    import torch

    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind, _, index = str(name).partition(":")
    indexed = not index or (index.isdecimal() and (kind != "cuda" or int(index) < torch.cuda.device_count()))
    if not here.get(kind, False) or not indexed:
        choice = ", ".join(n for n, there in here.items() if there)
        raise ConditionError(f"no device '{name}' here; choose one of {choice}.")
    return str(name)


def torch_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """The torch dtype of a name. Raises ConditionError for one that pipelines do not support."""
    import torch

    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype not in DTYPES:
        raise ConditionError(f"dtype is '{dtype}'; choose {' or '.join(DTYPES)}.")
    found: torch.dtype = getattr(torch, dtype)
    return found


def checked_parts(owner: str, given: Mapping[str, str | Path], known: Iterable[str]) -> dict[str, Path]:
    """The folders of parts by name. Raises ConditionError for an unknown part or a missing folder."""
    if unknown := sorted(set(given) - set(known)):
        there = f"its parts are {', '.join(sorted(known))}" if known else "it has none"
        raise ConditionError(f"{owner} has no part {', '.join(unknown)}; {there}.")
    folders = {name: Path(folder) for name, folder in given.items()}
    if absent := [f"{name}={folder}" for name, folder in folders.items() if not folder.is_dir()]:
        raise ConditionError(f"{', '.join(absent)}: no such folder; name an existing one.")
    return folders


def load_objective(name: str, preset: str = "mini", parts: Mapping[str, str | Path] | None = None,
                   options: Mapping[str, Any] | None = None) -> Objective:
    """The objective of trainable `name` in the sizes of `preset`, untrained.

    `parts`: folders of trained parts that it builds on, by name; by default the bundled ones. `options`: its own.
    Raises PostsyncError for an unknown name or preset, ConditionError for an unknown part or option.
    """
    entry = trainable(name)
    if preset not in entry.presets:
        raise PostsyncError(f"{name} has no preset '{preset}' to train; choose from: {', '.join(entry.presets)}.")
    folders = checked_parts(name, parts or {}, entry.parts)
    own = checked_options(options or {}, entry.options, name)
    objective: Objective = resolve(entry.objective)(preset, **folders, **own)
    return objective


def build_guide(name: str, pipeline: Pipeline, options: Mapping[str, Any] | None = None) -> Guide:
    """The guide `name` for a pipeline: one of the table, or "module:function" of code that can be imported, which is
    called with the pipeline and its options, texts on the command line.

    Raises ConditionError for an unknown name, options that the guide does not have, and code that builds no guide.
    """
    from .protocols.guide import AfterStep, BeforeStep

    entry = GUIDES.get(name)
    if entry is None and ":" not in name:
        there = f"the guides are {', '.join(GUIDES)}" if GUIDES else "no installed package has one"
        raise ConditionError(f"no guide '{name}'; {there}. Your own code is named module:function.")
    own = dict(options or {}) if entry is None else checked_options(options or {}, entry.options, f"guide {name}")
    try:
        guide = resolve(name if entry is None else entry.build)(pipeline, **own)
    except (PostsyncError, TypeError, ValueError) as error:
        raise ConditionError(f"guide {name} cannot be built: {error}.") from error
    if not isinstance(guide, BeforeStep | AfterStep):
        raise ConditionError(f"guide {name} gives a {type(guide).__name__}, which has neither before_step nor "
                             "after_step.")
    return guide


def resolve(path: str) -> Any:
    """The object at "module:attribute". Raises PostsyncError if there is none."""
    module, _, attribute = path.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PostsyncError(f"{path} cannot be imported ({error}); install the package that it belongs to, or update "
                            "it.") from error


collect()
