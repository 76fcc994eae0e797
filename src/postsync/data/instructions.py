"""Questions about what a clip sounds like, and pairs of question and answer from any manifest.

Source: arXiv 2411.05679, section 3 (V2A Instruction). The questions are worded here, but for the first, which the
published weights of VATT are asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..errors import MediaError, WeightsError
from ..media.audio import read_audio
from ..media.output import whole_file
from .manifest import read_manifest, read_meta, write_manifest

INSTRUCTIONS = (
    "What audio could be inferred from this video?",  # the published weights' own, and the neutral one
    "What would be heard in this clip?", "Describe the sound that belongs to these pictures.",
    "Which sounds fit what is shown?", "Say what this video sounds like.",
    "Imagine the soundtrack of this clip and describe it.", "What can be heard while this happens?",
    "Name the sounds that this scene makes.", "Tell what you hear from what you see.",
    "What does the action in this video sound like?",
)


class SaysWhatIsHeard(Protocol):
    """Such as `encoders.captioner.SoundCaptioner`."""

    sample_rate: int

    def caption(self, waveform: Any) -> str:
        """Sound (N,) at `sample_rate` -> a sentence."""
        ...


def instruction_pairs(rows: Iterable[Mapping[str, Any]],
                      instructions: Sequence[str] = INSTRUCTIONS) -> list[dict[str, Any]]:
    """Rows of a manifest (`data/manifest.py`) -> objects of the V2A Instruction's form: a question about a clip, and a
    caption as its `output`.

    One object for each caption of a clip; clips without one are left out. Questions are asked in turn.
    """
    captioned = [(row, caption) for row in rows for caption in row["captions"]]
    return [{"instruction": instructions[number % len(instructions)], "input": "", "video_path": row["clip_id"],
             "dataset": row["dataset"], "output": caption, "split": row["split"]}
            for number, (row, caption) in enumerate(captioned)]


def write_pairs(folder: Path, out: Path, instructions: Sequence[str] = INSTRUCTIONS) -> int:
    """Write the pairs of a folder's manifest as a JSON list; returns their number.

    Raises MediaError for a manifest without captions, and for a file that cannot be written.
    """
    pairs = instruction_pairs(read_manifest(folder), instructions)
    if not pairs:
        raise MediaError(f"{folder}: no clip has a caption; write them with postsync data caption")
    with whole_file(out) as path:
        path.write_text(json.dumps(pairs, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return len(pairs)


def caption_sounds(folder: Path, captioner: SaysWhatIsHeard, source: str,
                   on_clip: Callable[[int, int], None] | None = None) -> tuple[int, list[MediaError | WeightsError]]:
    """Write what a captioner says of the sound of each clip without captions into a folder's manifest, `source` as the
    column `caption_source`; returns how many there were, and why others failed."""
    rows, errors, count = read_manifest(folder), [], 0
    for done, row in enumerate(rows, start=1):
        file = row["audio_path"] or row["video_path"]
        if not row["captions"] and file:
            try:
                sound = read_audio(folder / file, captioner.sample_rate, mono=True)[0]
                first, last = (round(row[edge] * captioner.sample_rate) for edge in ("start", "end"))
                row |= {"captions": [captioner.caption(sound[first:last])], "caption_source": source}
                count += 1
            except (MediaError, WeightsError) as error:
                errors.append(error)
        if on_clip is not None:
            on_clip(done, len(rows))
    if count:
        write_manifest(folder, rows, read_meta(folder), known_only=False)
    return count, errors
