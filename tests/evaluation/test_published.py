"""The suites of the papers with small networks of random weights in the cache, in the published ones' places."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import soundfile
import torch

from postsync.data.manifest import read_manifest
from postsync.encoders.align_classifier import AlignClassifier
from postsync.encoders.cavp import Cavp
from postsync.encoders.i3d import I3d
from postsync.encoders.imagebind import ImageBind
from postsync.encoders.panns import Cnn14
from postsync.encoders.passt import Passt
from postsync.encoders.published import PROVENANCE, PUBLISHED, cache_folder
from postsync.encoders.synchformer import Synchformer
from postsync.encoders.vggish import Vggish
from postsync.evaluation.document import describe
from postsync.evaluation.job import Settings, run
from postsync.evaluation.observation import Pair
from postsync.evaluation.set_rows import video_rows
from postsync.evaluation.sides import Skipped
from postsync.evaluation.suites import Suite, suite
from postsync.features.resize import resize_pictures
from postsync.media.audio import read_audio
from postsync.metrics.class_scores import kl_divergence
from postsync.metrics.kid import polynomial_mmd
from postsync.scenes.export import export
from postsync.scenes.render import clean_scenes
from synthetic_clips import observed, pair_of

RATE = 16000


def save(name: str, model: torch.nn.Module) -> None:
    """Put a network into the cache as converting a published one does."""
    model.save_pretrained(cache_folder(name))
    said = {"sha256": name * 3, "class": type(model).__name__, "postsync": "0", "files": {}}
    (cache_folder(name) / PROVENANCE).write_text(json.dumps(said))


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Four small networks, converted as published ones are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSTSYNC_CACHE", str(tmp_path_factory.mktemp("cache")))
        torch.manual_seed(0)
        made = {"vggish": Vggish((2, 3, 4, 5), hidden=8, outputs=6), "panns": Cnn14((2, 3, 4, 5, 6, 8), classes=7),
                "passt": Passt(width=16, depth=1, heads=2, classes=5),
                "synchformer": Synchformer(width=16, depth=1, heads=2, head_depth=1, head_heads=2, crop=32)}
        for name, model in made.items():
            save(name, model)
        yield {name: model.eval() for name, model in made.items()}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Three scenes of 5 s, and their sounds, the last of them cut to 2 s."""
    real, made = tmp_path_factory.mktemp("real"), tmp_path_factory.mktemp("made")
    export(real, range(3), clean_scenes(duration_s=5.0, size=16, fps=10.0, families=("wood_strike",)))
    for number, row in enumerate(read_manifest(real)):
        sound = 0.3 * read_audio(real / row["audio_path"], RATE, from_picture=True)[0] ** 2
        sound = sound[:2 * RATE] if number == 2 else sound
        soundfile.write(made / f"{row['clip_id']}.wav", sound, RATE, subtype="FLOAT")
    return made, real


@pytest.fixture(scope="module")
def document(networks, folders):
    made, real = folders
    done = run([made], real, suite("av-benchmark"), Settings(resamples=10))
    return describe(done, done.systems[0], "")


def metric(document, name: str):
    return next(m for m in document["metrics"] if m["name"] == name)


def test_what_has_weights_is_computed_and_the_rest_is_named(document):
    computed = {m["name"] for m in document["metrics"]}
    assert computed == {"FAD-VGGish", "FD-PANNs", "FD-PaSST", "KID-PANNs", "KID-PaSST", "KL-PANNs", "KL-PaSST",
                        "DeSync-Synchformer"}
    reasons = {entry["name"]: entry["reason"] for entry in document["not_computed"]}
    assert "imagebind_huge.pth" in reasons["IB-AV"]
    assert "630k-audioset-best.pt" in reasons["CLAP-score"]
    assert reasons["IS-PANNs"] == "too few clips: 3"  # ten splits need ten clips
    assert metric(document, "FD-PANNs")["extractor"] == {
        "name": "panns", "weights_sha256": "pannspannspanns", "licence": PUBLISHED["panns"].licence}
    assert document["protocol"]["audio_rates"]["passt"] == 32000
    assert document["protocol"]["fps"] == {"synchformer": 25.0}


def test_few_rows_are_all_taken_for_the_kernel_distance(document, networks, folders):
    made, real = folders
    sides = [[], []]
    for row in read_manifest(real):
        files = ((made / f"{row['clip_id']}.wav", False), (real / row["audio_path"], True))
        for rows, (file, from_picture) in zip(sides, files):
            sound = read_audio(file, RATE, from_picture=from_picture)
            rows.append(networks["panns"].features(torch.from_numpy(sound - sound.mean()))["embedding"])
    found = metric(document, "KID-PANNs")
    assert found["value"] == pytest.approx(float(polynomial_mmd(*(torch.cat(rows) for rows in sides))), rel=1e-2)
    assert found["note"].startswith("3 rows against 3: all taken once")
    assert found["interval"] is None


def test_damaged_weights_cost_their_own_metrics_only(networks, folders, tmp_path, monkeypatch):
    shutil.copytree(cache_folder("vggish"), tmp_path / "encoders" / "vggish")
    shutil.copytree(cache_folder("panns"), tmp_path / "encoders" / "panns")
    monkeypatch.setenv("POSTSYNC_CACHE", str(tmp_path))
    next((tmp_path / "encoders" / "panns").glob("*.safetensors")).write_bytes(b"cut short")
    made, real = folders
    done = run([made], real, suite("vggsound"), Settings(resamples=10))
    document = describe(done, done.systems[0], "")
    assert [m["name"] for m in document["metrics"]] == ["FAD-VGGish"]
    reasons = {entry["name"]: entry["reason"] for entry in document["not_computed"]}
    assert "damaged" in reasons["FD-PANNs"]
    assert "cavp_epoch66.ckpt" in reasons["Align-Acc"]


def test_the_rows_of_vggish_are_windows_and_those_of_panns_are_clips(document):
    assert metric(document, "FAD-VGGish")["note"].startswith("12 rows against 15")
    assert metric(document, "FD-PANNs")["note"].startswith("3 rows against 3")


def test_a_clip_shorter_than_a_window_is_left_out_by_name(document):
    desync = metric(document, "DeSync-Synchformer")
    assert desync["count"] == 2
    assert "1 clips skipped" in desync["note"]
    (left,) = [m for m in document["missing"] if "DeSync-Synchformer" in m["reason"]]
    assert left["clip_id"] == "scenes.2.0"
    assert "4.8 s" in left["reason"]


def test_the_divergence_is_that_of_the_two_files(document, networks, folders):
    made, real = folders
    row = read_manifest(real)[0]
    sounds = [read_audio(made / f"{row['clip_id']}.wav", RATE), read_audio(real / row["audio_path"], RATE,
                                                                           from_picture=True)]
    logits = [networks["panns"].features(torch.from_numpy(s - s.mean()))["logits"] for s in sounds]
    clip = next(c for c in document["clips"] if c["clip_id"] == row["clip_id"])
    assert clip["values"]["KL-PANNs"] == pytest.approx(float(kl_divergence(*logits, eps=0.0)), rel=1e-3)
    assert metric(document, "KL-PANNs")["value"] == pytest.approx(
        np.mean([c["values"]["KL-PANNs"] for c in document["clips"]]))


@pytest.fixture
def seeing_networks(tmp_path, monkeypatch):
    """Small networks that look as well, and read: their vocabularies lie beside them."""
    monkeypatch.setenv("POSTSYNC_CACHE", str(tmp_path))
    torch.manual_seed(0)
    towers = {"vision_size": (16, 1, 2), "text_size": (16, 1, 2), "audio_size": (16, 1, 2)}
    made = {
        "cavp": Cavp(embed_dim=6, video_width=4, video_blocks=(1, 1, 1, 1), audio_widths=(4, 4, 8, 8, 8, 16),
                     image_size=32),
        "align_classifier": AlignClassifier(autoencoder_widths=(32,) * 4, autoencoder_resnets=1, width=32,
                                            multipliers=(1, 1, 1), heads=2, feature_dim=6, context_dim=8),
        "imagebind": ImageBind(**towers, embed_dim=8, vocabulary=520),
        "i3d": I3d(num_classes=5, shrink=16)}
    for name, model in made.items():
        save(name, model)
    (cache_folder("imagebind") / "merges.txt").write_text("#version: 0.2\nh e\n")


def test_networks_that_look_and_read_are_given_pictures_and_captions(seeing_networks, folders, tmp_path):
    _, real = folders
    videos = tmp_path / "videos"
    shutil.copytree(real / "clips", videos)
    wanted = {"Align-Acc", "FVD-I3D-rgb-FAVD-weights", "IB-AV", "IB-TA", "IB-TV"}
    metrics = {m.name: m for name in ("vggsound", "sounding-video") for m in suite(name).metrics if m.name in wanted}
    done = run([videos], real, Suite("looking", "", tuple(metrics.values()), 3.0, "generated"), Settings(resamples=10))
    document = describe(done, done.systems[0], "")
    values = {m["name"]: m["value"] for m in document["metrics"]}
    assert set(values) == wanted, document["not_computed"]
    assert values["FVD-I3D-rgb-FAVD-weights"] > 0  # the same pictures on both sides, but not from the same one on
    assert "not the published FVD" in metric(document, "FVD-I3D-rgb-FAVD-weights")["note"]
    assert values["Align-Acc"] in (0.0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0)
    assert all(-1 <= values[name] <= 1 for name in ("IB-AV", "IB-TA", "IB-TV"))
    assert document["protocol"]["fps"]["cavp"] == 4.0
    assert {clip["video_of"] for clip in document["clips"]} == {"generated"}


def test_a_real_video_is_seen_from_a_random_place_on_and_a_generated_one_from_its_start(seeing_networks):
    pictures = torch.randint(0, 256, (20, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    looks = [observed(torch.zeros(1, RATE), pictures[start:], 25.0) for start in range(5)]
    network = pair_of(torch.zeros(1, RATE)).networks

    def row(clip_id: str, clip, side: str) -> torch.Tensor:
        return video_rows(Pair(clip_id, clip, clip, clip, clip.decoded.files, 60.0, network), side)

    by_start = [row("a", clip, "generated") for clip in looks]
    drawn = {name: row(name, looks[0], "reference") for name in "abcdefgh"}
    starts = {name: [torch.equal(found, one) for one in by_start].index(True) for name, found in drawn.items()}
    assert len(set(starts.values())) > 1
    assert torch.equal(row("c", looks[0], "reference"), drawn["c"])
    with pytest.raises(Skipped, match="15 pictures"):
        row("a", observed(torch.zeros(1, RATE), pictures[5:], 25.0), "reference")


def test_larger_pictures_are_scaled_to_the_published_short_side_before_fvd(monkeypatch, tmp_path):
    monkeypatch.setenv("POSTSYNC_CACHE", str(tmp_path))
    torch.manual_seed(0)
    save("i3d", I3d(num_classes=5))
    large = torch.randint(0, 255, (16, 3, 300, 360), dtype=torch.uint8)
    network = pair_of(torch.zeros(1, RATE)).networks
    rows = []
    for pictures in (large, resize_pictures(large, (256, 307)), large[..., :256, :307]):
        clip = observed(torch.zeros(1, RATE), pictures, 25.0)
        rows.append(video_rows(Pair("a", clip, clip, clip, clip.decoded.files, 60.0, network), "generated"))
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])
