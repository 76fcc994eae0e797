"""The page: what is in it, that nothing in it comes from outside, that names cannot break out, that its clips play."""

import base64
import copy
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from postsync.data.clip import Clip
from postsync.data.manifest import write_manifest
from postsync.errors import MediaError, PostsyncError
from postsync.evaluation import excerpt
from postsync.evaluation.exhibits import choose_clips
from postsync.evaluation.report import column_names, write_html, write_plots
from postsync.media.audio import write_wav
from postsync.scenes.export import render_mp4

RATE = 16000
HOSTILE = '"><script>alert(1)</script><img src=https://x.example/a.png onerror=alert(1)>\'&amp;${title}'
LOADING = {"src", "href", "srcset", "poster", "data", "action", "background", "xlink:href"}


class Page(HTMLParser):
    """Tags, ids, what is loaded, tables, text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags, self.ids, self.loaded, self.named, self.words = [], [], [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        self.ids += [given["id"]] if "id" in given else []
        self.loaded += [value for name, value in attrs if name in LOADING]
        self.named += [given[name] for name in ("aria-labelledby",) if name in given]

    def handle_data(self, data) -> None:
        self.words.append(data)

    def media(self, tag: str) -> list[bytes]:
        return [base64.b64decode(given["src"].partition(",")[2]) for name, given in self.tags if name == tag]


def click(at_s: float, duration_s: float = 0.8) -> np.ndarray:
    """(1, N): quiet noise, and a burst from `at_s` on."""
    rng = np.random.default_rng(int(at_s * 1000))
    wave = 0.001 * rng.standard_normal(round(duration_s * RATE))
    wave[round(at_s * RATE):] += 0.3 * rng.standard_normal(len(wave) - round(at_s * RATE))
    return wave[None].astype(np.float32)


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> dict:
    """Three clips whose references are small videos with a known onset; values 0.9, 0.1 and 0.5."""
    root = tmp_path_factory.mktemp("sides")
    (root / "real" / "clips").mkdir(parents=True)
    (root / "made").mkdir()
    times = torch.arange(8, dtype=torch.float64) / 10
    rows, clips = [], []
    for name, value, onset in (("a", 0.9, 0.2), ("b", 0.1, 0.3), ("c", 0.5, 0.4)):
        frames = torch.randint(0, 255, (8, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
        clip = Clip(name, 0.8, frames, times, torch.from_numpy(click(onset)), RATE)
        render_mp4(clip, root / "real" / "clips" / f"{name}.mp4")
        write_wav(root / "made" / f"{name}.wav", click(onset + 0.1), RATE)
        rows.append({"clip_id": name, "dataset": "test", "source_id": name, "split": "test", "start": 0.0, "end": 0.8,
                     "duration": 0.8, "video_path": f"clips/{name}.mp4", "audio_path": f"clips/{name}.mp4",
                     "events": [{"t": onset, "end": 0.8, "label": "hit", "visible": name != "c", "strength": 1.0}]})
        clips.append({"clip_id": name, "generated": f"{name}.wav", "reference": f"clips/{name}.mp4",
                      "video": f"clips/{name}.mp4", "video_of": "reference", "label": "hit", "caption": "a hit",
                      "values": {"Onset-F1@50ms": value, "E-L1@16k": 1 - value, "Onset-lag-ms": 100.0}})
    write_manifest(root / "real", rows, {})
    metrics = [{"name": name, "value": value, "higher_is_better": higher, "unit": unit, "count": 3,
                "interval": [0.25, 0.75], "extractor": extractor, "settings": {"tolerance_s": 0.05}, "note": None}
               for name, value, higher, unit, extractor in (
                   ("FAD-VGGish", 3.2171, False, None, {"name": "vggish", "weights_sha256": "ab" * 32,
                                                        "licence": "Apache-2.0"}),
                   ("E-L1@16k", 0.5, False, None, None), ("Onset-F1@50ms", 0.5123, True, None, None),
                   ("Onset-lag-ms", None, None, "ms", None))]
    return {"schema": 1, "suite": "scenes", "postsync": "1.2.3", "versions": {"numpy": "2.0"}, "seed": 7,
            "command": "postsync evaluate made", "protocol": {"duration_s": 4.0, "fps": None},
            "generated": {"path": str(root / "made"), "count": 3},
            "reference": {"path": str(root / "real"), "count": 4},
            "missing": [{"clip_id": "d", "side": "generated", "reason": "no such file", "used": False}],
            "metrics": metrics, "not_computed": [{"name": "FD-PaSST", "reason": "weights absent"}], "clips": clips}


def renamed(result: dict, path: str) -> dict:
    other = copy.deepcopy(result)
    other["generated"]["path"] = path
    for clip in other["clips"]:
        clip["generated"] = str(Path(result["generated"]["path"]) / clip["generated"])
    return other


@pytest.fixture(scope="module")
def page(result, tmp_path_factory) -> Page:
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_html(result, path, num_clips=3)
    return Page(path)


def test_page_tells_all_figures_and_what_is_not_there(page) -> None:
    for words in ("3.217", "[0.25, 0.75] n = 3", "vggish", "weights abababababab", "Apache-2.0", "tolerance_s 0.05",
                  "FD-PaSST", "weights absent", "no such file", "postsync evaluate made", "numpy 2.0",
                  "made : 3 generated clips against 4 of real, 1 missing or flawed", "seed 7"):
        assert words in page.text, words
    assert page.text.count("Worst by Onset-F1@50ms") == 1  # though it is not the table's first
    assert [given["aria-label"] for tag, given in page.tags if tag == "span" and "aria-label" in given] == [
        "lower is better", "lower is better", "higher is better", "no better side"]


def test_nothing_comes_from_outside(page) -> None:
    assert all(value.startswith(("data:", "#")) for value in page.loaded)
    assert not re.search(r"https?:|url\(|@import", page.source)
    assert not {tag for tag, _ in page.tags} & {"iframe", "object", "embed", "base", "form"}
    policy = next(given["content"] for tag, given in page.tags if given.get("http-equiv"))
    assert policy.startswith("default-src 'none'; img-src data:; media-src data:;")
    script = page.source.partition("<script>")[2].partition("</script>")[0]
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy


def test_ids_are_unique_and_every_reference_has_one(page) -> None:
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.loaded if link.startswith("#")} | set(page.named) <= set(page.ids)
    assert {"metrics", "not-computed", "distributions", "clips", "clip-3", "protocol", "missing"} <= set(page.ids)
    assert all(given.get("scope") for tag, given in page.tags if tag == "th")
    assert all(given.get("aria-label") for tag, given in page.tags if tag in ("svg", "video", "audio"))


def test_clips_play_with_the_generated_sound(page) -> None:
    videos = page.media("video")
    assert len(videos) == 6  # generated and reference of three clips
    for data in videos:
        with av.open(io.BytesIO(data)) as container:
            assert sum(1 for _ in container.decode(video=0)) == 8
    heard = []
    for data in videos[:2]:
        with av.open(io.BytesIO(data)) as container:
            sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
            heard.append(int((np.abs(sound) > 0.1).argmax()) / 48000)
    np.testing.assert_allclose(heard, [0.4, 0.3], atol=0.03)  # worst first: clip b; made 0.1 s late


def test_true_onsets_are_drawn_where_they_are(page) -> None:
    drawn = [(given["class"], float(given["x1"]) / 360 * 0.8) for tag, given in page.tags
             if tag == "line" and given["class"].startswith("onset")]
    assert [kind for kind, _ in drawn] == ["onset"] * 2 + ["onset unseen"] * 2 + ["onset"] * 2
    np.testing.assert_allclose([at for _, at in drawn], [0.3, 0.3, 0.4, 0.4, 0.2, 0.2], atol=0.002)


def test_hostile_names_stay_text(result, tmp_path) -> None:
    worse = copy.deepcopy(result)
    for key in ("suite", "command", "postsync"):
        worse[key] = HOSTILE
    for clip in worse["clips"]:
        clip.update(label=HOSTILE, caption=HOSTILE, values={HOSTILE: clip["values"]["E-L1@16k"]})
    worse["clips"][0] |= {"clip_id": HOSTILE, "generated": HOSTILE}
    worse["metrics"][0].update(name=HOSTILE, unit=HOSTILE, note=HOSTILE, settings={HOSTILE: [HOSTILE]},
                               extractor={"name": HOSTILE, "weights_sha256": HOSTILE, "licence": HOSTILE})
    worse["missing"] = [{"clip_id": HOSTILE, "side": HOSTILE, "reason": HOSTILE + "\udcff"}]
    worse["not_computed"] = [{"name": HOSTILE, "reason": HOSTILE}]
    worse["protocol"] = {HOSTILE: {HOSTILE: HOSTILE}}
    worse["versions"] = {HOSTILE: HOSTILE}
    write_html(worse, tmp_path / "p.html")
    page = Page(tmp_path / "p.html")
    tags = [tag for tag, _ in page.tags]
    assert tags.count("script") == 1
    assert "img" not in tags
    assert all(value.startswith(("data:", "#")) for value in page.loaded)
    assert not [given for _, given in page.tags if any(name.startswith("on") for name in given)]
    assert page.text.count("<script>alert(1)</script>") > 10


def test_unreadable_clip_is_named_and_the_page_is_written(result, tmp_path) -> None:
    worse = copy.deepcopy(result)
    worse["clips"][1]["generated"] = "gone.wav"
    write_html(worse, tmp_path / "p.html", num_clips=2)
    page = Page(tmp_path / "p.html")
    assert re.search(r"gone\.wav: no such file", page.text)
    assert len(page.media("video")) == 3


def test_sound_without_picture_is_an_audio_element(result, tmp_path) -> None:
    heard_only = copy.deepcopy(result)
    for clip in heard_only["clips"]:
        clip |= {"video": None, "reference": None}
    write_html(heard_only, tmp_path / "p.html", num_clips=2)
    page = Page(tmp_path / "p.html")
    assert page.media("video") == []
    for data in page.media("audio"):
        with av.open(io.BytesIO(data)) as container:
            assert sum(f.samples for f in container.decode(audio=0)) == pytest.approx(0.8 * 48000, abs=2048)


def test_several_results_stand_side_by_side(result, tmp_path) -> None:
    other = renamed(result, "/somewhere/else")
    other["metrics"][2]["value"], other["protocol"] = 0.9, {"duration_s": 8.0, "fps": None}
    for clip in other["clips"]:
        clip["values"]["Onset-F1@50ms"] = 0.5
    difference = {"first": 0, "second": 1, "count": 3, "difference": -0.3877, "interval": [-0.5, -0.1],
                  "first_is_better": 0.02}
    document = {"schema": 1, "kind": "comparison", "systems": [result, other],
                "comparison": [{"name": "Onset-F1@50ms", "differences": [difference]}]}
    write_html(json.loads(json.dumps(document)), tmp_path / "p.html", num_clips=2)
    page = Page(tmp_path / "p.html")
    assert "were not measured alike: protocol differ" in page.text
    assert "made − else -0.3877 * [-0.5, -0.1] 3 2 %" in page.text
    assert re.findall(r'id="clip-\d-h">(\w+)<', page.source) == ["b", "a"]  # furthest behind, furthest ahead
    assert len(page.media("video")) == 6  # two clips, two systems and the reference
    best = re.findall(r'class="best"><span class="value">([^<]*)', page.source)
    assert best == ["0.9"]


def test_choice_of_clips(result) -> None:
    assert choose_clips([result], 2) == choose_clips([result], 2, "Onset-F1@50ms")
    choice = choose_clips([result], 3, "E-L1@16k")
    assert (choice.worst, choice.best) == (["b", "c"], ["a"])
    other = copy.deepcopy(result)
    other["clips"][1]["values"]["Onset-F1@50ms"] = 0.0  # b was worst; now the first leads most there
    other["clips"][0]["values"]["Onset-F1@50ms"] = 1.0
    choice = choose_clips([result, other], 2)
    assert (choice.worst, choice.best) == (["a"], ["b"])
    with pytest.raises(PostsyncError, match="choose from: E-L1@16k, Onset-F1@50ms"):
        choose_clips([result], 2, "Onset-lag-ms")
    assert choose_clips([{**result, "metrics": []}], 2).worst == ["a", "b"]
    assert column_names([result, renamed(result, "/x/made")]) == ["1: made", "2: made"]


def test_bad_results_are_refused(result, tmp_path) -> None:
    with pytest.raises(PostsyncError, match="schema 2"):
        write_html({**result, "schema": 2}, tmp_path / "p.html")
    with pytest.raises(MediaError, match="does not exist"):
        write_html(result, tmp_path / "no" / "p.html", num_clips=0)
    assert list(tmp_path.iterdir()) == []


def test_plots_are_one_picture_a_metric(result, tmp_path) -> None:
    odd = copy.deepcopy(result)
    for clip in odd["clips"]:
        clip["values"] = {"Onset-F1@50ms": 1.0, "../../a$b": 1.0, "none": float("nan")}
    paths = write_plots(odd, tmp_path / "plots")
    assert [p.name for p in paths] == ["Onset-F1@50ms.png", "a_b.png"]
    assert all(p.parent == tmp_path / "plots" and p.read_bytes().startswith(b"\x89PNG") for p in paths)


def test_large_pictures_are_made_small(result, tmp_path, monkeypatch) -> None:
    source = Path(result["reference"]["path"]) / "clips" / "a.mp4"
    wave = np.zeros((1, 9600), np.float32)
    monkeypatch.setattr(excerpt, "MAX_COPIED_BYTES", 10)
    monkeypatch.setattr(excerpt, "MAX_SIDE", 16)
    with av.open(io.BytesIO(excerpt.encoded_video(source, wave, start_s=0.3, length_s=0.4))) as container:
        shown = [(frame.width, frame.height) for frame in container.decode(video=0)]
    assert shown == [(16, 16)] * 4
    monkeypatch.setattr(excerpt, "MAX_VIDEO_BYTES", 100)
    assert excerpt.encoded_video(source, wave) is None
