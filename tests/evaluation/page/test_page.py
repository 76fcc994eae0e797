"""The page: what is in it, that nothing in it comes from outside, that names cannot break out, that its clips play."""

from __future__ import annotations

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

from postsync.errors import MediaError, PostsyncError
from postsync.evaluation.page import write_html

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
    assert all(given.get("aria-label") for tag, given in page.tags if tag in ("video", "audio"))
    assert all(given.get("alt") for tag, given in page.tags if tag == "img")


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
    assert tags.count("source") == tags.count("picture") == 1 + 5  # one metric, and each sound
    assert tags.count("img") == 1 + 2 * 5
    assert len(page.media("video")) + len(page.media("audio")) == 5  # of six, one cannot be read
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


def test_bad_results_are_refused(result, tmp_path) -> None:
    with pytest.raises(PostsyncError, match="schema 2"):
        write_html({**result, "schema": 2}, tmp_path / "p.html")
    with pytest.raises(MediaError, match="does not exist"):
        write_html(result, tmp_path / "no" / "p.html", num_clips=0)
    assert list(tmp_path.iterdir()) == []
