"""The suites hold what the tables of the papers hold."""

import json

import pytest
import torch

from postsync.encoders.i3d import I3d
from postsync.encoders.published import PROVENANCE, PUBLISHED
from postsync.encoders.vggish import Vggish
from postsync.errors import PostsyncError
from postsync.evaluation import SUITES
from postsync.evaluation.networks import BUNDLED, ROBERTA, Networks
from postsync.evaluation.suites import suite

EXPECTED = {
    "vggsound": {"FAD-VGGish", "FD-PANNs", "IS-PANNs", "KL-PANNs", "Align-Acc"},
    "av-benchmark": {"FAD-VGGish", "FD-PANNs", "FD-PaSST", "KL-PANNs", "KL-PaSST", "IS-PANNs", "IB-AV",
                     "DeSync-Synchformer", "CLAP-score", "KID-PANNs", "KID-PaSST"},
    "greatest-hits": {"FAD-PANNs", "FAD-CLAP", "CLAP-score-audio", "FAVD-I3D-rgb-VGGish", "FAVD-I3D-VGGish",
                      "E-L1@44k", "Onset-Acc", "Onset-AP"},
    "sounding-video": {"FVD-I3D-rgb-FAVD-weights", "FAD-VGGish", "AV-Align-SVG", "IB-AV", "IB-TA", "IB-TV",
                       "CLAP-score"},
    "vatt": {"KL-PaSST", "FAD-VGGish", "Align-Acc", "BLEU-4", "ROUGE-L", "CIDEr-D", "BERTScore-f1",
             "CLAP-score-caption"},
    "mdg": {"FAD-VGGish", "FD-PANNs", "IS-PANNs", "KL-PANNs", "FAVD-I3D-rgb-VGGish", "FAVD-I3D-VGGish",
            "FAVD-I3D-rgb+flow(Farneback)-VGGish"},
    "heard": {"Heard-YAMNet", "Heard-score-YAMNet", "Heard-score-YAMNet-real", "Heard-PANNs", "Heard-score-PANNs"},
    "scenes": {"Onset-F1@25ms", "Onset-F1@50ms", "Onset-F1@100ms", "Onset-lag-ms", "Missed-sounds@100ms",
               "Invented-sounds@100ms", "Loudness-error-LU", "Family-accuracy-SceneClassifier",
               "Family-log-p-SceneClassifier", "GRAM-TA", "GRAM-AV",
               "Envelope-r", "FAD-SceneClassifier"},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_suite_names_the_metrics_of_its_table_once_each(name):
    chosen = suite(name)
    names = [m.name for m in chosen.metrics]
    assert set(names) >= EXPECTED[name]
    assert len(names) == len(set(names))
    assert chosen.name == name
    for metric in chosen.metrics:
        assert set(metric.networks) <= {*PUBLISHED, *BUNDLED, ROBERTA}
        json.dumps({**metric.settings, **metric.about})


def test_every_suite_is_listed_and_unknown_ones_are_refused():
    assert set(SUITES) == set(EXPECTED)
    with pytest.raises(PostsyncError, match="av-benchmark"):
        suite("vggsond")


def test_the_scenes_need_nothing_that_is_not_in_the_package(tmp_path, monkeypatch):
    monkeypatch.setenv("POSTSYNC_CACHE", str(tmp_path))
    networks = Networks()
    assert not [m.name for m in suite("scenes").metrics if m.obstacle(networks) or m.modules]
    obstacle = next(m for m in suite("vggsound").metrics if m.name == "Align-Acc").obstacle(networks)
    assert "cavp_epoch66.ckpt" in obstacle


def test_without_the_weights_of_the_flow_stream_both_metrics_with_flow_say_so(tmp_path, monkeypatch):
    monkeypatch.setenv("POSTSYNC_CACHE", str(tmp_path))
    (tmp_path / "encoders" / "i3d").mkdir(parents=True)
    torch.manual_seed(0)
    for name, model in (("i3d", I3d(shrink=16)), ("vggish", Vggish((2, 3, 4, 5), hidden=8, outputs=6))):
        model.save_pretrained(tmp_path / "encoders" / name)
        said = {"sha256": "0", "class": type(model).__name__, "postsync": "0", "files": {}}
        (tmp_path / "encoders" / name / PROVENANCE).write_text(json.dumps(said))
    obstacles = {m.name: m.obstacle(Networks()) for m in suite("mdg").metrics if m.name.startswith("FAVD")}
    assert obstacles.pop("FAVD-I3D-rgb-VGGish") is None
    assert len(obstacles) == 2
    assert all("i3d_flow.pt" in str(reason) and "unconfirmed" in str(reason) for reason in obstacles.values())


def test_one_model_has_one_divergence_by_each_form():
    forms = {name: next(m for m in suite(name).metrics if m.name == "KL-PANNs").about["eps"]
             for name in ("vggsound", "av-benchmark")}
    assert forms == {"vggsound": 1e-6, "av-benchmark": 0.0}


@pytest.mark.parametrize(("installed", "backend"), [(True, "opencv"), (False, "postsync")])
def test_metrics_of_optical_flow_say_what_computes_it(monkeypatch, installed, backend):
    monkeypatch.setattr("postsync.features.flow.find_spec", lambda name: object() if installed else None)
    metrics = {m.name: m for name in ("sounding-video", "mdg") for m in suite(name).metrics}
    said = {name: metric.about["farneback"] for name, metric in metrics.items() if "farneback" in metric.about}
    assert said == {name: backend for name in metrics if name.startswith("AV-Align") or "Farneback" in name}
    assert len(said) == 4


def test_directions_are_those_of_the_classes():
    better = {m.name: m.higher_is_better for m in suite("scenes").metrics}
    assert (better["Onset-F1@50ms"], better["Onset-lag-abs-ms"], better["Onset-lag-ms"]) == (True, False, None)
