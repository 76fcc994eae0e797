"""The published networks that metrics and systems use: where each file is, under which licence, and its conversion,
once, to safetensors in a folder of the user's cache.

`convert` is run by the user on a downloaded file; nothing is fetched. `load` returns the network.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .. import weights
from ..errors import WeightsError
from ..media.container import sha256_of
from ..media.output import whole_folder
from ..versions import __version__
from ..weights import PROVENANCE

if TYPE_CHECKING:
    from torch import nn

_DIFF_FOLEY = "https://huggingface.co/SimianLuo/Diff-Foley, folder diff_foley_ckpt"


@dataclass(frozen=True)
class PublishedWeights:
    """A network's published file. `loader` is "module:function" of its `from_official(state_dict)`.

    A licence is "unconfirmed" where nothing beside the file states it and it is inferred from the file's origin.
    """

    name: str
    file: str
    source: str
    licence: str
    loader: str
    used_for: str = ""  # metrics
    beside: str | None = None  # kept where it lies beside: a tagger's table of classes (display_name), a vocabulary


_ENTRIES = (
    PublishedWeights("vggish", "vggish-10086976.pth", "https://github.com/harritaylor/torchvggish/releases/tag/v0.1",
                     "Apache-2.0", "postsync.encoders.vggish:from_official", "FAD-VGGish, FAVD"),
    PublishedWeights("panns", "Cnn14_16k_mAP=0.438.pth", "https://zenodo.org/records/3987831",
                     "CC BY 4.0, unconfirmed (code: MIT)", "postsync.encoders.panns:from_official",
                     "FD, KL, IS, Heard (PANNs)", "class_labels_indices.csv"),
    PublishedWeights("yamnet", "yamnet.h5",
                     "https://storage.googleapis.com/audioset/yamnet.h5 (and yamnet_class_map.csv from "
                     "https://github.com/tensorflow/models, folder research/audioset/yamnet)",
                     "Apache-2.0", "postsync.encoders.yamnet:from_official", "Heard (YAMNet)",
                     "yamnet_class_map.csv"),
    PublishedWeights("passt", "passt-s-f128-p16-s10-ap.476-swa.pt",
                     "https://github.com/kkoutini/PaSST/releases/tag/v0.0.1-audioset", "Apache-2.0, unconfirmed",
                     "postsync.encoders.passt:from_official", "FD, KL (PaSST)"),
    PublishedWeights("synchformer", "synchformer_state_dict.pth",
                     "https://github.com/hkchengrex/MMAudio/releases/tag/v0.1", "MIT, unconfirmed",
                     "postsync.encoders.synchformer:from_official", "DeSync"),
    PublishedWeights("cavp", "cavp_epoch66.ckpt", _DIFF_FOLEY, "MIT (code: Apache-2.0)",
                     "postsync.encoders.cavp:from_official", "Align-Acc, MGAudio"),
    PublishedWeights("align_classifier", "eval_classifier.ckpt", _DIFF_FOLEY,
                     "MIT (code: Apache-2.0; its autoencoder is Stable Diffusion's, CreativeML OpenRAIL-M, "
                     "unconfirmed)",
                     "postsync.encoders.align_classifier:from_official", "Align-Acc"),
    PublishedWeights("i3d", "i3d_rgb.pt", "https://github.com/amazon-science/avgen-eval-toolkit",
                     "Apache-2.0, unconfirmed", "postsync.encoders.i3d:rgb_from_official", "FAVD"),
    PublishedWeights("i3d_flow", "i3d_flow.pt", "https://github.com/amazon-science/avgen-eval-toolkit",
                     "Apache-2.0, unconfirmed", "postsync.encoders.i3d:flow_from_official", "FAVD with optical flow"),
    PublishedWeights("imagebind", "imagebind_huge.pth", "https://dl.fbaipublicfiles.com/imagebind/imagebind_huge.pth",
                     "CC BY-NC-SA 4.0 (research only)", "postsync.encoders.imagebind:from_official",
                     "IB-AV, IB-TA, IB-TV"),
    PublishedWeights("clap", "630k-audioset-best.pt", "https://huggingface.co/lukewys/laion_clap", "CC0, unconfirmed",
                     "postsync.encoders.clap:from_official", "FAD-CLAP, CLAP-score"),
    PublishedWeights("gram", "model_step_N.pt", "https://github.com/ispamm/GRAM (a shared drive; and vocab.txt: "
                     "postsync weights fetch bert)", "unconfirmed (code: MIT)",
                     "postsync.encoders.gram_checkpoint:encoder_from_official", "mdg at the paper's size", "vocab.txt"),
)
PUBLISHED: Mapping[str, PublishedWeights] = MappingProxyType({entry.name: entry for entry in _ENTRIES})


def cache_folder(name: str) -> Path:
    """Where the converted network `name` lies; may be absent. Raises WeightsError for an unknown name."""
    return weights.cache_folder() / "encoders" / entry_of(name).name


def entry_of(name: str) -> PublishedWeights:
    """The entry of a network; raises WeightsError for an unknown name."""
    if name not in PUBLISHED:
        raise WeightsError(f"no network named '{name}'; choose from {', '.join(PUBLISHED)}")
    return PUBLISHED[name]


def available(name: str) -> bool:
    """Whether the network `name` was converted, so that `load` finds it."""
    return (cache_folder(name) / PROVENANCE).is_file()


def missing(name: str) -> str:
    """One sentence about the missing network `name`: which file, from where, under which licence, what to do."""
    entry = entry_of(name)
    return (f"the weights of {name} are not installed: download {entry.file} from {entry.source} (licence: "
            f"{entry.licence}), then run: postsync weights convert {name} {entry.file}")


def convert(name: str, file: Path) -> Path:
    """Convert the published `file` of network `name`; returns the folder, written atomically.

    The folder holds safetensors, their configuration and provenance.json (with the file's sha256). Raises WeightsError
    for a file that is damaged, refused, of another network or lacks tensors, and where the cache cannot be written.
    """
    from safetensors import SafetensorError

    from ..weights.foreign import read_state

    entry, folder, file = entry_of(name), cache_folder(name), Path(file)
    wanted = f"For {name} give {entry.file} from {entry.source}."
    try:
        state = read_state(file)
    except WeightsError as error:
        raise WeightsError(f"{error} {wanted}") from error
    try:
        model = _loader(entry)(state)
    except WeightsError as error:
        raise WeightsError(f"{file}: {error} {wanted}") from error
    except (LookupError, RuntimeError, TypeError, ValueError) as error:  # of another network
        raise WeightsError(f"{file}: its tensors are not laid out as those of {name} ({error}). {wanted}") from error
    provenance = asdict(entry) | {"converted_from": file.name, "sha256": sha256_of(file),
                                  "class": type(model).__name__, "postsync": __version__}
    try:
        with whole_folder(folder) as temporary:
            model.save_pretrained(temporary)
            if entry.beside is not None and (beside := file.with_name(entry.beside)).is_file():
                shutil.copyfile(beside, temporary / entry.beside)
            provenance["files"] = {f.name: f.stat().st_size for f in sorted(temporary.iterdir())}
            (temporary / PROVENANCE).write_text(json.dumps(provenance, indent=2) + "\n", encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{folder}: could not be written ({' '.join(str(error).split())[:200]}); check free space "
                           "and permissions, or name another folder in POSTSYNC_CACHE.") from error
    return folder


def load(name: str) -> nn.Module:
    """The converted network `name`, in eval mode, frozen, on the CPU in float32.

    Raises WeightsError where it was not converted yet (with what to do) or its folder is damaged.
    """
    from safetensors import SafetensorError

    provenance, folder = _provenance(name), cache_folder(name)
    for file, size in provenance["files"].items():
        if not (folder / file).is_file() or (folder / file).stat().st_size != size:
            raise WeightsError(f"{folder / file}: is damaged, it had {size} bytes. {_convert_again(name)}")
    module = import_module(entry_of(name).loader.partition(":")[0])
    network = getattr(module, str(provenance["class"]), None)
    if network is None:
        raise WeightsError(f"{folder}: was converted by postsync {provenance['postsync']}, which this "
                           f"version does not read. {_convert_again(name)}")
    try:
        return network.from_pretrained(folder).eval().requires_grad_(False)
    except (OSError, ValueError, RuntimeError, TypeError, SafetensorError) as error:
        raise WeightsError(f"{folder}: is damaged ({' '.join(str(error).split())[:200]}). "
                           f"{_convert_again(name)}") from error


def class_names(name: str) -> tuple[str, ...]:
    """The names of the classes of tagger `name`, in their order. Raises WeightsError where it was converted without
    its class map, or the map is another one's."""
    entry = entry_of(name)
    path = cache_folder(name) / str(entry.beside)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            names = tuple(row["display_name"] for row in csv.DictReader(file))
    except (OSError, KeyError, csv.Error, UnicodeDecodeError) as error:
        raise WeightsError(f"{name} was converted without the names of its classes: put {entry.beside} beside "
                           f"{entry.file}. {_convert_again(name)}") from error
    classes = json.loads((path.parent / "config.json").read_text(encoding="utf-8"))["classes"]
    if len(names) != classes:
        raise WeightsError(f"{path}: names {len(names)} classes, {name} has {classes}; put its own {entry.beside} "
                           f"beside {entry.file}. {_convert_again(name)}")
    return names


def weights_hash(name: str) -> str:
    """sha256 (hexadecimal) of the published file that network `name` was converted from. Raises WeightsError."""
    return str(_provenance(name)["sha256"])


def _provenance(name: str) -> dict[str, Any]:
    if not available(name):
        raise WeightsError(missing(name))
    path = cache_folder(name) / PROVENANCE
    try:
        provenance = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read. {_convert_again(name)}") from error
    if not isinstance(provenance, dict) or not {"sha256", "class", "files", "postsync"} <= provenance.keys():
        raise WeightsError(f"{path}: is not a provenance file of postsync. {_convert_again(name)}")
    return provenance


def _convert_again(name: str) -> str:
    return f"Convert it again: postsync weights convert {name} {entry_of(name).file}"


def _loader(entry: PublishedWeights) -> Callable[[dict], Any]:
    module, _, function = entry.loader.partition(":")
    return getattr(import_module(module), function)
