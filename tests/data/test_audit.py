"""The audit: each problem is found where it is and nowhere else; rows stay, reasons are written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from postsync.data.audit import REPORT, audit
from postsync.data.examination import Limits, examine
from postsync.data.flags import FLAGS, UNFIT_FOR_TRAINING, flag, unflag
from postsync.data.importers import import_dataset
from postsync.data.manifest import ManifestDataset, read_manifest, read_meta, write_manifest
from postsync.encoders.correspondence import GramCorrespondence, correspondence_by
from postsync.errors import ConditionError, MediaError, PostsyncError
from postsync.features.spectrogram import cavp_mel
from postsync.protocols.clip import Clip

RATE = 8000


def moving(count: int = 40) -> Tensor:
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def noise(channels: int = 1, level: float = 0.1) -> Tensor:
    return level * torch.randn(channels, 10 * RATE, generator=torch.Generator().manual_seed(1))


GOOD = Clip("good", 10.0, frames=moving(), waveform=noise(), sample_rate=RATE)


def half_silent(share: float) -> Tensor:
    sound = noise()
    sound[:, :round(share * sound.shape[1])] = 0
    return sound


def stills(*levels: int) -> Tensor:
    return torch.tensor(levels, dtype=torch.uint8).repeat_interleave(40 // len(levels))[:, None, None, None].expand(
        -1, 3, 32, 32)


@pytest.mark.parametrize(("clip", "flags"), [
    (GOOD, set()),
    (replace(GOOD, duration_s=8.9), {"short"}),
    (replace(GOOD, waveform=noise(level=1e-4)), {"silent"}),
    (replace(GOOD, waveform=torch.full((1, 10 * RATE), 0.2)), {"silent"}),
    (replace(GOOD, waveform=half_silent(0.85)), {"silent"}),
    (replace(GOOD, waveform=half_silent(0.5)), {"partly_silent"}),
    (replace(GOOD, waveform=half_silent(0.1)), set()),
    (replace(GOOD, waveform=noise(level=0.5).clamp(-1, 1)), {"clipped"}),
    (replace(GOOD, waveform=torch.cat([noise(), 1e-5 * noise()])), {"dead_channel"}),
    (replace(GOOD, waveform=noise(2)), set()),
    (replace(GOOD, frames=stills(90)), {"static"}),
    (replace(GOOD, frames=stills(90, 200)), {"static", "slide_show"}),
    (replace(GOOD, frames=stills(0, 2)), {"static", "black"}),
    (replace(GOOD, frames=(moving() // 32)), {"black"}),
    (replace(GOOD, frames=None, waveform=None), set()),
])
def test_each_problem_has_its_flag_and_reason(clip: Clip, flags: set[str]) -> None:
    found = examine(clip, 10.0, Limits())
    assert set(found.flags) == flags
    assert flags <= set(FLAGS)
    assert all(found.flags.values())


def test_numbers_of_a_clip() -> None:
    stats = examine(replace(GOOD, waveform=half_silent(0.5).repeat(2, 1)), 10.0, Limits()).stats
    assert stats["silence_ratio"] == pytest.approx(0.5, abs=0.01)
    assert stats["rms_db"] == pytest.approx(-23.0, abs=0.2)
    assert stats["channel_correlation"] == pytest.approx(1.0, abs=1e-4)
    assert stats["motion"] == pytest.approx(57, abs=3)  # of grey noise: 255 / 3 * |(.299, .587, .114)|, about
    assert stats["still_ratio"] == 0.0


def test_flags_come_off_with_their_reasons() -> None:
    row = {"flags": [], "stats": {"rms_db": -20.0}}
    flag(row, "silent", "so quiet")
    flag(row, "static", "so still")
    unflag(row, ["silent", "black"])
    assert row == {"flags": ["static"], "stats": {"rms_db": -20.0, "reasons": {"static": "so still"}}}
    with pytest.raises(ValueError, match="no flag"):
        flag(row, "loud", "")


def test_a_folder_is_audited_and_no_row_is_lost(tmp_path: Path, put) -> None:
    for name, seconds in (("whole.mp4", 2.0), ("part.mp4", 1.0), ("gone.mp4", 1.0)):
        put(name, seconds)
    put("mute.mp4", sound=False)
    (tmp_path / "media" / "bad.mp4").write_bytes(b"no video at all")
    out = tmp_path / "out"
    import_dataset("folder", tmp_path / "media", None, out)
    rows = read_manifest(out)
    for row in rows:
        row |= {"mine": 1, "split": "test" if row["source_id"] == "whole" else "train"}
        row["stats"]["nominal_s"] = 2.0 if row["source_id"] == "part" else None
    twin = {**rows[-1], "clip_id": "media.whole.500", "split": "train"}
    write_manifest(out, [*rows, twin], read_meta(out), known_only=False)
    (tmp_path / "media" / "gone.mp4").unlink()
    report = audit(out, held_out={"mute"}, workers=2)
    after = {row["clip_id"]: row for row in read_manifest(out)}
    assert {name: row["flags"] for name, row in after.items()} == {
        "media.bad.0": ["unreadable"], "media.gone.0": ["missing"], "media.mute.0": ["leak", "no_sound"],
        "media.part.0": ["short"], "media.whole.0": [], "media.whole.500": ["leak"]}
    assert all(row["mine"] == 1 for row in after.values())
    assert "bad.mp4" in after["media.bad.0"]["stats"]["reasons"]["unreadable"]
    assert after["media.whole.0"]["stats"]["motion"] > 10
    assert report == json.loads((out / REPORT).read_text())
    assert (report["clips"], report["usable"], report["fit_for_training"]) == (6, 4, 1)
    assert {"flag": "missing", "rows": 1, "keeps_out_of": "everything"} in read_meta(out)["filters"]
    assert len(ManifestDataset(out, unfit=UNFIT_FOR_TRAINING)) == 1
    again = audit(out)  # what no longer holds comes off
    assert again["flags"] == {"missing": 1, "unreadable": 1, "no_sound": 1, "short": 1, "leak": 1}


def test_the_least_alike_are_named_with_what_judged_them(tmp_path: Path, put) -> None:
    put("one.mp4")
    import_dataset("folder", tmp_path / "media", None, tmp_path)
    row = read_manifest(tmp_path)[0]
    row |= {"end": 0.3, "duration": 0.3}
    write_manifest(tmp_path, [{**row, "clip_id": f"media.{k:02d}.0"} for k in range(18)], {})

    class ByName:
        name, size, sample_rate = "its name", 8, 8000

        def __call__(self, clip: Clip) -> float:
            assert clip.frames.shape == (2, 3, 8, 8)
            if clip.clip_id == "media.09.0":
                raise ConditionError("too short to be heard")
            return -1.0 if clip.clip_id == "media.07.0" else 0.5

    report = audit(tmp_path, correspondence=ByName())
    assert [row["clip_id"] for row in report["rows"]] == ["media.07.0"]
    assert "-1.000 by its name" in report["rows"][0]["reasons"]["mismatched"]
    assert report["correspondence"] == "its name"
    assert [row["clip_id"] for row in read_manifest(tmp_path) if row["stats"]["av_score"] is None] == ["media.09.0"]


def test_gram_compares_sound_and_picture() -> None:
    judge = GramCorrespondence()
    assert "bundled GRAM mini" in judge.name
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (8, 3, judge.size, judge.size), generator=generator, dtype=torch.uint8)
    clip = Clip("a", 2.0, frames=frames, waveform=0.1 * torch.randn(1, 32000, generator=generator), sample_rate=16000)
    video = judge.encoder.encode_video(frames[torch.tensor([0, 2, 4, 6])][None].float() / 255)
    expected = (video * judge.encoder.encode_audio(clip.waveform)).sum()
    assert judge(clip) == pytest.approx(expected.item(), abs=1e-5)
    assert -1 <= judge(clip) <= 1
    with pytest.raises(ConditionError, match="no sound at 16000"):
        judge(replace(clip, sample_rate=8000))


def test_cavp_compares_windows_of_sound_and_picture(cavp, tmp_path: Path) -> None:
    cavp.save_pretrained(tmp_path)
    judge = correspondence_by(str(tmp_path))
    assert f"CAVP of {tmp_path}" in judge.name
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (32, 3, judge.size, judge.size), generator=generator, dtype=torch.uint8)
    clip = Clip("a", 8.0, frames=frames, waveform=0.1 * torch.randn(1, 128000, generator=generator), sample_rate=16000)
    seen, heard = cavp.encode_video(frames[None].float() / 255)[0], cavp.encode_audio(cavp_mel(clip.waveform))[0]
    cosines = [torch.cosine_similarity(seen[k:k + 16].amax(0), heard[k:k + 16].amax(0), dim=0) for k in (0, 16)]
    assert judge(clip) == pytest.approx(sum(cosines).item() / 2, abs=1e-4)
    with pytest.raises(ConditionError, match="shorter than the 4 s"):
        judge(replace(clip, frames=frames[:15]))
    with pytest.raises(PostsyncError, match=r"'clip'.*gram, cavp"):
        correspondence_by("clip")


def test_nothing_to_audit(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no manifest"):
        audit(tmp_path)
    write_manifest(tmp_path, [], {})
    with pytest.raises(MediaError, match="no rows"):
        audit(tmp_path)
