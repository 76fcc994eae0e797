"""Captions of two manifests against each other, with tiny networks in the places of CLAP and RoBERTa."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import soundfile
import torch

from postsync.data.manifest import write_manifest
from postsync.encoders.byte_pairs import RobertaTokenizer
from postsync.encoders.clap import Clap
from postsync.encoders.published import PROVENANCE, cache_folder
from postsync.evaluation.document import describe
from postsync.evaluation.job import Settings, run
from postsync.evaluation.networks import Networks
from postsync.evaluation.suites import Suite, captions, suite
from postsync.metrics.captions import TOKENISATION, Bleu, CiderD, RougeL, bert_scores
from tiny_roberta import write_tiny_roberta

RATE = 48000
SAID = {"a": ["a dog barks at a passing car"], "b": ["rain falls on a tin roof"], "c": ["a drum is hit twice"], "d": []}
TRUE = {"a": ["a dog barks loudly at a car", "dog barking as a car is passing by"], "b": ["heavy rain on a tin roof"],
        "c": ["someone hits a drum"], "d": ["a door closes"]}
SCORED = [clip for clip, said in SAID.items() if said]


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    """The tiny networks where the published ones would lie; yields CLAP and the folder of the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSTSYNC_CACHE", str(tmp_path_factory.mktemp("cache")))
        torch.manual_seed(0)
        clap = Clap(patch_width=8, depths=(1, 1, 1, 1), heads=(1, 1, 2, 2), text_width=16, text_layers=1, text_heads=2,
                    vocabulary=40, positions=80, embed_dim=8)
        clap.save_pretrained(cache_folder("clap"))
        said = {"sha256": "0", "class": "Clap", "postsync": "0", "files": {}}
        (cache_folder("clap") / PROVENANCE).write_text(json.dumps(said))
        words = ["<s>", "<pad>", "</s>", "Ġ", *"abcdefghijklmnopqrstuvwxyz"]
        (cache_folder("clap") / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
        (cache_folder("clap") / "merges.txt").write_text("#version: 0.2\n")
        hub = tmp_path_factory.mktemp("hub")
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
        repository, commit = hub / "models--FacebookAI--roberta-large", "0" * 40
        (repository / "snapshots" / commit).mkdir(parents=True)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(commit)
        texts = [text for of_clip in (*SAID.values(), *TRUE.values()) for text in of_clip]
        yield clap.eval(), write_tiny_roberta(repository / "snapshots" / commit, texts)


@pytest.fixture(scope="module")
def sounds():
    """A second of noise for each clip."""
    noise = np.random.default_rng(0)
    return {clip: noise.standard_normal(RATE).astype(np.float32) * 0.1 for clip in SAID}


@pytest.fixture(scope="module")
def document(cached, sounds, tmp_path_factory):
    """The caption metrics of two folders with a manifest, the layer of BERTScore being the tiny network's last."""
    folders = [tmp_path_factory.mktemp(name) for name in ("made", "real")]
    for folder, texts in zip(folders, (SAID, TRUE)):
        for clip, sound in sounds.items():
            soundfile.write(folder / f"{clip}.wav", sound, RATE, subtype="FLOAT")
        write_manifest(folder, [{"clip_id": clip, "dataset": "x", "source_id": clip, "split": "test", "start": 0.0,
                                 "end": 1.0, "duration": 1.0, "audio_path": f"{clip}.wav", "captions": of_clip}
                                for clip, of_clip in texts.items()], {})
    metrics = [dataclasses.replace(m, settings={**m.settings, "layer": 2}) if "layer" in m.settings else m
               for m in captions()]
    done = run(folders[:1], folders[1], Suite("words", "", tuple(metrics), 1.0), Settings(resamples=10))
    return describe(done, done.systems[0], "")


def value(document, name: str) -> float:
    return next(m["value"] for m in document["metrics"] if m["name"] == name)


def test_common_words_are_scored_over_the_clips_that_have_captions(document):
    metrics = {f"BLEU-{order}": Bleu(order) for order in range(1, 5)} | {"ROUGE-L": RougeL(), "CIDEr-D": CiderD()}
    for name, metric in metrics.items():
        for clip in SCORED:
            metric.update(SAID[clip][0], TRUE[clip])
        assert value(document, name) == pytest.approx(float(metric.compute())), name
        found = next(m for m in document["metrics"] if m["name"] == name)
        assert found["count"] == len(SCORED)
        assert found["settings"]["tokenisation"] == TOKENISATION
    values = next(clip for clip in document["clips"] if clip["clip_id"] == "b")["values"]
    alone = Bleu(2)
    alone.update(SAID["b"][0], TRUE["b"])
    assert values["BLEU-2"] == pytest.approx(float(alone.compute()))


def test_a_clip_without_a_caption_is_named(document):
    assert {entry["clip_id"] for entry in document["missing"]} == {"d"}
    assert all(entry["reason"].startswith("has no caption in the manifest of the generated side")
               for entry in document["missing"])
    skipped = ", ".join(entry["reason"].partition("skipped by ")[2] for entry in document["missing"])
    assert set(skipped.split(", ")) == {metric.name for metric in captions()}
    assert not document["not_computed"]


def test_words_in_context_are_scored_against_the_nearest_reference(document, cached):
    _, folder = cached
    best = [bert_scores(SAID[clip] * len(TRUE[clip]), TRUE[clip], folder, 2)["f1"].max() for clip in SCORED]
    assert value(document, "BERTScore-f1") == pytest.approx(float(torch.stack(best).mean()), abs=1e-5)
    assert value(document, "BERTScore-precision") != value(document, "BERTScore-recall")
    extractor = next(m for m in document["metrics"] if m["name"] == "BERTScore-f1")["extractor"]
    assert (extractor["name"], extractor["licence"], len(extractor["weights_sha256"])) == ("roberta", "MIT", 64)


@torch.no_grad()
def test_generated_captions_are_held_against_the_real_sound(document, cached, sounds):
    clap, _ = cached
    tokens = RobertaTokenizer(cache_folder("clap"))([SAID[clip][0] for clip in SCORED])
    text = clap.text_features(*tokens)["embedding"]
    heard = clap.features(torch.from_numpy(np.stack([sounds[clip] for clip in SCORED])))["embedding"]
    assert value(document, "CLAP-score-caption") == pytest.approx(float((text * heard).sum(1).mean()), abs=1e-4)


def test_networks_that_are_not_at_hand_cost_their_own_metrics(monkeypatch, tmp_path, cached):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    networks = Networks()
    obstacles = {metric.name: metric.obstacle(networks) for metric in suite("vatt").metrics}
    assert all("hf download" in str(reason) for name, reason in obstacles.items() if "BERT" in name)
    assert {name for name, reason in obstacles.items() if reason is None} >= {"BLEU-4", "ROUGE-L", "CIDEr-D"}
