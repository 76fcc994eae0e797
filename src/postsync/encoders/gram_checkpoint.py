"""Official checkpoints of GRAM, EVA-CLIP and BEATs <-> ours.

Source of the layouts: `ispamm/GRAM` (`model_step_N.pt`, a flat state dict), `QuanSun/EVA-CLIP`,
`microsoft/unilm: beats`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import WeightsError
from ..weights.foreign import read_pickle, read_state
from . import beats
from .eva_clip import EvaClipConfig, EvaClipVision, resize_positions
from .gram import GramConfig, GramEncoder, paper
from .matching import resize_frame_embedding
from .text import WordPieceTokenizer

# official prefix -> ours; an entry without trailing dot is a whole key
KEYS: tuple[tuple[str, str], ...] = (
    ("vision_encoder.visual.", "video_tower."),
    ("audio_encoder.", "audio_tower."),
    ("multimodal_encoder.bert.", "text_tower."),
    ("contra_head_v.linear.", "video_projection."),
    ("contra_head_a.linear.", "audio_projection."),
    ("contra_head_t.linear.", "text_projection."),
    ("contra_temp", "temperature"),
    ("hidden_trans_vision_multimodal.", "matching_head.video_projection."),
    ("hidden_trans_audio_multimodal.", "matching_head.audio_projection."),
    ("vision_frame_embedding", "matching_head.video_frame_embedding"),
    ("audio_frame_embedding", "matching_head.audio_frame_embedding"),
    ("vision_type_embeddings", "matching_head.video_type_embedding"),
    ("audio_type_embeddings", "matching_head.audio_type_embedding"),
    ("itm_head.", "matching_head.head."),
)

IGNORED: tuple[tuple[str, str], ...] = (
    ("vision_encoder.text.", "text tower of CLIP, which GRAM does not read"),
    ("vision_encoder.logit_scale", "temperature of CLIP's own loss"),
    ("vision_encoder.visual.head.", "projection of CLIP; GRAM takes the tokens before it"),
    ("audio_encoder.predictor.", "AudioSet classes of a fine-tuned BEATs"),
    ("multimodal_encoder.cls.", "masked-word head, for captioning losses only"),
    ("multimodal_encoder.bert.embeddings.position_ids", "a constant 0, 1, 2, ..."),
    ("contra_head_s.", "subtitles, which no system here has"),
    ("contra_head_d.", "depth, which no system here has"),
    ("contra_head_va.", "joint features, unused by the volume loss"),
    ("contra_head_vs.", "joint features, unused by the volume loss"),
    ("contra_head_vas.", "joint features, unused by the volume loss"),
    ("hidden_trans_subtitle_multimodal.", "subtitles, which no system here has"),
    ("subtitle_type_embeddings", "subtitles, which no system here has"),
)


def from_official(state: Mapping[str, Tensor], matching: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Official GRAM state dict -> ours, and the skipped keys, each with the reason.

    `matching=False` skips what only the matching head needs. Raises WeightsError for a key that is neither.
    """
    ours: dict[str, Tensor] = {}
    ignored: dict[str, str] = {}
    for name, value in state.items():
        key = _normal_name(name)
        reason = next((why for prefix, why in IGNORED if key.startswith(prefix)), None)
        target = next((new + key[len(old):] for old, new in KEYS if key.startswith(old)), None)
        if reason is None and target is None:
            raise WeightsError(f"unknown key '{name}' in a GRAM checkpoint; is this a model_step_N.pt of ispamm/GRAM?")
        if reason is None and not matching and target is not None and _only_matching(target):
            reason = "matching head, not requested"
        if reason is not None or target is None:
            ignored[name] = reason or ""
        else:
            ours[target] = value
    audio = {k.removeprefix("audio_tower."): ours.pop(k) for k in list(ours) if k.startswith("audio_tower.")}
    return ours | {f"audio_tower.{k}": v for k, v in beats.from_official(audio).items()}, ignored


def to_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict -> official names. What `from_official` ignores is not restored."""
    audio = {k.removeprefix("audio_tower."): v for k, v in state.items() if k.startswith("audio_tower.")}
    rest = {k: v for k, v in state.items() if not k.startswith("audio_tower.")}
    official = {f"audio_encoder.{k}": v for k, v in beats.to_official(audio).items()}
    for key, value in rest.items():
        old, new = next((old, new) for old, new in KEYS if key.startswith(new))
        official[old + key[len(new):]] = value
    return official


def load_gram(path: Path, preset: GramConfig | None = None, tokenizer: WordPieceTokenizer | None = None) -> GramEncoder:
    """GRAM encoder from an official `model_step_N.pt`. Raises WeightsError if file and preset do not fit.

    Another image size or number of frames than the file's is handled by resizing the position tables, as the official
    loader does.
    """
    try:
        return encoder_from_official(read_state(path), preset, tokenizer)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error


def encoder_from_official(official: Mapping[str, Tensor], preset: GramConfig | None = None,
                          tokenizer: WordPieceTokenizer | None = None) -> GramEncoder:
    """GRAM encoder from an official state dict; see `load_gram`."""
    preset = preset or paper()
    state, _ = from_official(official, matching=preset.matching)
    with torch.device("meta"):
        model = GramEncoder.from_preset(preset, tokenizer)
    state = {k: v.float() for k, v in state.items()}
    if "video_tower.pos_embed" in state:
        state["video_tower.pos_embed"] = resize_positions(state["video_tower.pos_embed"], preset.video.num_patches)
    if "matching_head.video_frame_embedding" in state:
        table = state["matching_head.video_frame_embedding"]
        state["matching_head.video_frame_embedding"] = resize_frame_embedding(table, preset.max_frames)
    _load(model, state, "this GRAM checkpoint")
    return model.eval()


def load_eva_clip(path: Path, config: EvaClipConfig | None = None) -> EvaClipVision:
    """Visual tower from an official EVA-CLIP file; its CLIP text tower is skipped."""
    config = config or EvaClipConfig(head_dim=1024)
    state = {k.removeprefix("module."): v for k, v in read_state(path).items()}
    visual = {k.removeprefix("visual."): v.float() for k, v in state.items() if k.startswith("visual.")}
    if config.head_dim is None:
        visual = {k: v for k, v in visual.items() if not k.startswith("head.")}
    with torch.device("meta"):
        model = EvaClipVision(config)
    _load(model, visual, path)
    return model.eval()


def load_beats(path: Path, predictor: bool = False) -> beats.Beats:
    """BEATs from an official file with `cfg` and `model`; the predictor of a fine-tuned one on request."""
    content = read_pickle(path)
    if not {"cfg", "model"} <= set(content):
        raise WeightsError(f"{path} lacks 'cfg' or 'model'; is it a BEATs checkpoint?")
    state = beats.from_official(content["model"])
    if not predictor:
        state = {k: v for k, v in state.items() if not k.startswith("predictor.")}
    with torch.device("meta"):
        model = beats.Beats(beats.BeatsConfig.from_official(content["cfg"], predictor))
    _load(model, state, path)
    return model.eval()


def _normal_name(name: str) -> str:
    """Older names of the official code -> those of the released checkpoints."""
    name = name.removeprefix("module.").replace("video", "vision")
    return name.replace("evaclip_model", "vision_encoder").replace("clip_model", "vision_encoder")


def _only_matching(target: str) -> bool:
    return target.startswith("matching_head.") or ".crossattention." in target


def _load(model: torch.nn.Module, state: Mapping[str, Tensor], source: Path | str) -> None:
    """Strictly, by assignment (the model may lie on the meta device)."""
    shapes = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    found = {k: tuple(v.shape) for k, v in state.items()}
    if shapes != found:
        wrong = sorted(k for k in shapes.keys() | found.keys() if shapes.get(k) != found.get(k))
        raise WeightsError(f"{source} does not fit the preset: {len(wrong)} tensors differ, first '{wrong[0]}' (file "
                           f" {found.get(wrong[0])}, preset {shapes.get(wrong[0])}). Use the file's preset.")
    model.load_state_dict(state, assign=True)
