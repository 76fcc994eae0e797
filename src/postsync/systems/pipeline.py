"""The common base of all pipelines: properties, loading, and refusal of unsupported arguments.

The contract is `protocols/pipeline.py`; systems that denoise latents continue in `latent_pipeline.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import import_module
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from torch import Tensor, nn

from ..diffusion.guidance import check_guides
from ..errors import ConditionError, WeightsError
from ..protocols.codec import Codec, TokenCodec
from ..protocols.guide import Guide
from ..protocols.pipeline import Origin, OutputType, Pictures, SoundOutput
from ..protocols.system import Option, checked_options
from ..weights import bundled

LoadPart = Callable[[Path, torch.dtype], nn.Module]


class SoundPipeline(DiffusionPipeline):  # type: ignore[misc]
    """A diffusers pipeline with a `codec` among its parts and `sees_film` in its configuration.

    `shared` lists parts that several systems share, with the function that loads them: a folder saved without such a
    part takes it from the caller's folder, or from the bundled one named in its configuration as `<part>_folder`. Those
    in `written_alone` are not of a kind that diffusers saves; they lie in the folder's subfolders all the same.
    """

    system: str
    accepts: frozenset[str]
    options: Mapping[str, Option] = MappingProxyType({})
    origin: Origin | None = None
    shared: ClassVar[Mapping[str, LoadPart]] = MappingProxyType({})
    written_alone: ClassVar[tuple[str, ...]] = ()
    codec: Codec | TokenCodec
    _part_folders: Mapping[str, Path] = MappingProxyType({})

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | PathLike[str], *,
                        parts: Mapping[str, str | PathLike[str]] | None = None,
                        torch_dtype: torch.dtype = torch.float32, **kwargs: Any) -> Self:
        """Load a saved folder; all parts frozen and in eval mode.

        `parts`: folders of shared parts by name, used instead of the folder's own or the bundled ones. As in diffusers,
        a part itself can be given by keyword, None to omit it. Raises ConditionError for parts it does not share,
        WeightsError if one cannot be read.
        """
        named = {name: Path(folder) for name, folder in (parts or {}).items()}
        if unknown := sorted(named.keys() - cls.shared.keys()):
            raise ConditionError(f"{cls.system} has no part {', '.join(unknown)} that can be replaced; these can: "
                                 f"{', '.join(cls.shared) or 'none'}.")
        _import_parts(Path(pretrained_model_name_or_path) / "model_index.json")
        if torch_dtype != torch.float32:  # the default of diffusers
            kwargs["dtype"] = torch_dtype
        pipe = super().from_pretrained(pretrained_model_name_or_path, **kwargs | dict.fromkeys(named))
        return pipe._completed(str(pretrained_model_name_or_path), named, kwargs.keys(), torch_dtype)

    def save_pretrained(self, save_directory: str | PathLike[str], **kwargs: Any) -> None:
        """As diffusers', and the parts that are `written_alone`."""
        alone = {name: getattr(self, name) for name in self.written_alone}
        self.register_modules(**dict.fromkeys(alone))
        try:
            super().save_pretrained(save_directory, **kwargs)
        finally:
            self.register_modules(**alone)
        for name, part in alone.items():
            if part is not None:
                part.save_pretrained(Path(save_directory) / name)

    def _completed(self, source: str, named: Mapping[str, Path], given: Collection[str],
                   torch_dtype: torch.dtype) -> Self:
        """This pipeline, its own parts loaded from `source`, with the shared parts that are `named`, or absent and not
        `given`; frozen."""
        folders = {}
        for name, load in self.shared.items():
            if name in named or (name not in given and getattr(self, name) is None):
                inside = Path(source) / name
                folders[name] = named.get(name) or (
                    inside if inside.is_dir() else bundled(self.config[f"{name}_folder"]))
                self.register_modules(**{name: _loaded(load, folders[name], name, torch_dtype)})
        self._part_folders = folders
        self.origin = Origin(source, dtype=str(torch_dtype).removeprefix("torch."),
                             parts={name: str(folder) for name, folder in named.items()})
        for part in self.components.values():
            if isinstance(part, nn.Module):
                part.requires_grad_(False).eval()
        return self

    @property
    def sampling_rate(self) -> int:
        """Samples a second of the output."""
        return self.codec.sampling_rate

    @property
    def channels(self) -> int:
        """Channels of the output."""
        return self.codec.channels

    @property
    def native_s(self) -> float:
        """Length in seconds the model was trained on."""
        raise NotImplementedError(f"{type(self).__name__} does not define its native length")

    @property
    def num_inference_steps(self) -> int:
        """The default of that argument."""
        return int(self.config["sampler"]["num_inference_steps"])

    @property
    def knows_film(self) -> bool:
        """Whether its encoders know real pictures; if not, words or a reference work better than the picture."""
        return bool(self.config["sees_film"])

    @property
    def weights(self) -> Mapping[str, Path]:
        """The folders it was loaded from by their names: its own first, then those of shared parts; empty if it was
        built in memory."""
        if not self.name_or_path:
            return {}
        own = Path(self.name_or_path)
        found = {own.name: own}
        for part, folder in self._part_folders.items():
            found[folder.name if folder.name not in found else f"{part}-{folder.name}"] = folder
        return found

    def pictures_wanted(self, duration_s: float, asked: Mapping[str, Any]) -> Pictures | None:
        """The pictures it uses for a sound of `duration_s` seconds, `asked` being the call's other arguments that were
        given; None: it uses none."""
        return None

    def _refuse(self, given: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
        """The system's own options, validated.

        Raises ConditionError for given arguments that this system does not accept, for unknown keywords, and for
        options out of range.
        """
        refused = sorted(name for name, value in given.items()
                         if name not in self.accepts and not (value is None or (isinstance(value, Sequence) and
                                                                                 len(value) == 0)))
        if refused:
            raise ConditionError(f"{self.system} does not take {', '.join(refused)}; it takes "
                                 f"{', '.join(sorted(self.accepts))}.")
        return checked_options({name: value for name, value in options.items() if value is not None}, self.options,
                               self.system)

    def _check_run(self, steps: int, takes: int, output_type: str, guides: Sequence[Guide] = ()) -> None:
        """Raise ConditionError for invalid arguments."""
        if steps < 1 or takes < 1 or output_type not in ("pt", "np", "latent"):
            raise ConditionError("num_inference_steps and num_waveforms_per_prompt are 1 or more, output_type is 'pt', "
                                 "'np' or 'latent'.")
        check_guides(guides)

    def _num_samples(self, duration_s: float) -> int:
        """Samples of the output. Raises ConditionError for zero."""
        if not 0.5 / self.sampling_rate < duration_s < math.inf:
            raise ConditionError(f"a duration of {duration_s} s holds no sample; give one above 0.")
        return round(duration_s * self.sampling_rate)

    def _output(self, audios: Tensor, output_type: OutputType, captions: tuple[str, ...] | None = None) -> SoundOutput:
        """Audios (B, C, N) in the requested form."""
        self.maybe_free_model_hooks()
        return SoundOutput(audios.float().cpu().numpy() if output_type == "np" else audios, captions)


def _import_parts(index: Path) -> None:
    """Import the modules of this package that an index names: diffusers loads classes of imported modules only."""
    entries = json.loads(index.read_text(encoding="utf-8")).values() if index.is_file() else ()
    for module in (entry[0] for entry in entries if isinstance(entry, list)):
        if isinstance(module, str) and module.split(".")[0] == __name__.split(".")[0]:
            import_module(module)


def _loaded(load: LoadPart, folder: Path, name: str, torch_dtype: torch.dtype) -> nn.Module:
    if not folder.is_dir():
        raise WeightsError(f"{folder}: no such folder; name the one that holds the {name}.")
    return load(folder, torch_dtype)
