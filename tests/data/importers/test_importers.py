"""Small data sets in the official formats become manifests in which every annotated clip has its row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from postsync.data.importers import import_dataset
from postsync.data.importers.entries import ImportOptions
from postsync.data.manifest import ManifestDataset, read_manifest, read_meta
from postsync.errors import MediaError, PostsyncError


def imported(name: str, annotations: Path, tmp_path: Path, **options) -> dict[str, dict]:
    """clip_id -> row, read back from the manifest."""
    import_dataset(name, annotations, tmp_path / "media", tmp_path / "out", **options)
    return {row["clip_id"]: row for row in read_manifest(tmp_path / "out")}


def write(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_vggsound_with_every_name_convention(tmp_path, put) -> None:
    listed = write(tmp_path, "vggsound.csv", "zxpo56cpUBU,7,playing drum,test\n"
                   '-bcdefghijk,30,"bird chirping, tweeting",train\na_b_c_d_e_f,0,people cheering,train\n'
                   "gone5678901,1,thunder,train\nbad45678901,2,thunder,test\n")
    put("zxpo56cpUBU_000007.mp4")
    put("deep/-bcdefghijk_30000_40000.mp4")
    put("a_b_c_d_e_f_000000.mp4", sound=False)
    (tmp_path / "media" / "bad45678901_000002.mp4").write_bytes(b"no video")
    rows = imported("vggsound-csv", listed, tmp_path, workers=2)
    assert set(rows) == {"vggsound.zxpo56cpUBU.7000", "vggsound.-bcdefghijk.30000", "vggsound.a_b_c_d_e_f.0",
                         "vggsound.gone5678901.1000", "vggsound.bad45678901.2000"}
    bird = rows["vggsound.-bcdefghijk.30000"]
    assert (bird["label"], bird["captions"], bird["split"]) == ("bird chirping, tweeting", [bird["label"]], "train")
    assert (bird["start"], bird["width"], bird["sample_rate"], bird["channels"]) == (0.0, 16, 16000, 1)
    assert bird["duration"] == pytest.approx(1.0, abs=0.05)
    assert bird["fps"] == pytest.approx(10)
    assert bird["stats"]["nominal_s"] == 10.0
    assert bird["flags"] == []
    flags = {row["source_id"]: row["flags"] for row in rows.values()}
    assert flags["gone5678901"] == ["missing"]
    assert flags["bad45678901"] == ["unreadable"]
    assert flags["a_b_c_d_e_f"] == ["no_sound"]
    assert "gone5678901_000001" in rows["vggsound.gone5678901.1000"]["stats"]["reasons"]["missing"]
    assert "bad45678901_000002.mp4" in rows["vggsound.bad45678901.2000"]["stats"]["reasons"]["unreadable"]
    counts = read_meta(tmp_path / "out")["imported"]
    assert counts == {"annotated": 5, "clips": 5, "rows": 5, "usable": 3, "splits": {"test": 2, "train": 3},
                      "flags": {"missing": 1, "unreadable": 1, "no_sound": 1}}
    clip = ManifestDataset(tmp_path / "out", split="train", unfit=frozenset({"missing", "no_sound"}))[0]
    assert (clip.label, len(clip.frames)) == (bird["label"], 10)
    assert clip.waveform.shape[1] == round(bird["duration"] * 16000)


@pytest.mark.parametrize(("name", "text"), [
    ("test.csv", 'zxpo56cpUBU_000007.mp4,"a, b"\n'), ("vgg-test.tsv", "id\tlabel\nzxpo56cpUBU_000007\ta, b\n"),
    ("my_test.csv", 'zxpo56cpUBU_7000_17000,"a, b"\n')])
def test_vggsound_lists_of_names(tmp_path, put, name: str, text: str) -> None:
    put("zxpo56cpUBU_7000_17000.mp4")
    row = imported("vggsound-csv", write(tmp_path, name, text), tmp_path)["vggsound.zxpo56cpUBU.7000"]
    assert (row["label"], row["split"], row["flags"]) == ("a, b", "test", [])


def test_a_whole_video_is_cut_and_a_segment_beyond_its_end_is_flagged(tmp_path, put) -> None:
    listed = write(tmp_path, "eval_segments.csv", "# Segments csv created\n# num_ytids=3\n# YTID, start, ...\n"
                   'zxpo56cpUBU, 0.500, 1.500, "/m/09x0r,/m/05zppz"\nzxpo56cpUBU, 1.000, 4.000, "/m/09x0r"\n'
                   'zxpo56cpUBU, 5.000, 6.000, "/m/09x0r"\n')
    put("YzxpO56cpUBU.mp4")  # another id
    put("zxpo56cpUBU.mp4", 2.0)
    rows = imported("audioset-csv", listed, tmp_path)
    first = rows["audioset.zxpo56cpUBU.500"]
    assert (first["start"], first["end"], first["duration"], first["flags"]) == (0.5, 1.5, 1.0, [])
    assert first["labels"] == ["/m/09x0r", "/m/05zppz"]
    late = rows["audioset.zxpo56cpUBU.1000"]
    # 3 s are annotated and the file lasts 2 s: it may be the clip itself
    assert late["flags"] == ["assumed_cut"]
    assert late["duration"] == pytest.approx(2.0, abs=0.05)
    assert rows["audioset.zxpo56cpUBU.5000"]["flags"] == ["beyond", "empty"]
    assert rows["audioset.zxpo56cpUBU.5000"]["duration"] == 0.0


def test_segment_beyond_the_end(tmp_path, put) -> None:
    listed = write(tmp_path, "test.csv", "zxpo56cpUBU, 1.2, 2.4, x\n")
    put("zxpo56cpUBU.mp4", 2.0)
    row = imported("audioset-csv", listed, tmp_path)["audioset.zxpo56cpUBU.1200"]
    assert row["flags"] == ["beyond"]
    assert row["duration"] == pytest.approx(0.8, abs=0.05)


def test_audiocaps_gathers_five_captions(tmp_path, put) -> None:
    captions = ["A dog barks", '"Rain falls, then stops"', "Wind", "A bell", "Steps"]
    listed = write(tmp_path, "test.csv", "audiocap_id,youtube_id,start_time,caption\n" + "".join(
        f"{k},GOD8Bt5LfDE,100,{caption}\n" for k, caption in enumerate(captions)))
    put("GOD8Bt5LfDE_100.000_110.000.mp4")
    rows = imported("audiocaps-csv", listed, tmp_path)
    assert list(rows) == ["audiocaps.GOD8Bt5LfDE.100000"]
    row = rows["audiocaps.GOD8Bt5LfDE.100000"]
    assert row["captions"] == ["A dog barks", "Rain falls, then stops", "Wind", "A bell", "Steps"]
    assert (row["split"], row["caption_source"]) == ("test", "human")
    assert read_meta(tmp_path / "out")["imported"]["annotated"] == 5


def test_audiocaps_of_sounds_alone(tmp_path, put) -> None:
    listed = write(tmp_path, "train.csv", "audiocap_id,youtube_id,start_time,caption\n1,-OD8Bt5LfDE,100,Wind\n")
    put("Y-OD8Bt5LfDE.wav")
    row = imported("audiocaps-csv", listed, tmp_path)["audiocaps.-OD8Bt5LfDE.100000"]
    assert row["flags"] == ["assumed_cut", "no_picture"]
    assert (row["video_path"], row["sample_rate"], row["split"]) == (None, 16000, "train")


def test_landscape(tmp_path, put) -> None:
    listed = write(tmp_path, "landscape.csv", "ytid,start_time,class,set\nMJ9-HmGWw1k,180,wind noise,train\n")
    put("MJ9-HmGWw1k_000180.mp4")
    row = imported("landscape-csv", listed, tmp_path)["landscape.MJ9-HmGWw1k.180000"]
    assert (row["label"], row["split"], row["flags"]) == ("wind noise", "train", [])


def test_unav_segments_are_events(tmp_path, put) -> None:
    video = {"subset": "validation", "duration": 2.0, "annotations": [
        {"segment": [1.0, 3.5], "label": "dog barking", "label_id": 3},
        {"segment": [0.0, 0.5], "label": "rain", "label_id": 4}]}
    listed = write(tmp_path, "unav100_annotations.json", json.dumps({"database": {"-bcdefghijk": video}}))
    put("-bcdefghijk.mp4", 2.0)
    row = imported("unav-json", listed, tmp_path)["unav100.-bcdefghijk.0"]
    assert (row["split"], row["label"], row["captions"]) == ("val", "dog barking", ["rain, dog barking"])
    assert row["events"][1] == {"t": 1.0, "end": 3.5, "label": "dog barking"}
    assert row["flags"] == ["events_beyond"]
    listed.write_text('{"database": {"x": {"subset": "test"}}}')
    with pytest.raises(MediaError, match="UnAV-100"):
        imported("unav-json", listed, tmp_path, replace=True)


def test_folder_with_captions(tmp_path, put) -> None:
    put("a clip.mp4")
    put("b.mp4")
    write(tmp_path, "media/captions.csv", 'name,caption\na clip,"rain, soft"\na clip.mp4,drops\nc,nothing\n')
    import_dataset("folder", tmp_path / "media", None, tmp_path / "out")
    rows = {row["source_id"]: row for row in read_manifest(tmp_path / "out")}
    assert rows["a clip"]["captions"] == ["rain, soft", "drops"]
    assert rows["a clip"]["split"] == "train"
    assert rows["b"]["flags"] == ["unannotated"]
    assert rows["c"]["flags"] == ["missing"]
    assert rows["b"]["video_path"] == "../media/b.mp4"


def test_what_stops_an_import(tmp_path, put) -> None:
    listed = write(tmp_path, "test.csv", "zxpo56cpUBU_000007.mp4,a\n")
    put("other.mp4")
    with pytest.raises(MediaError, match=r"holds none of the 1 clips.*--media"):
        imported("vggsound-csv", listed, tmp_path)
    assert not (tmp_path / "out").exists()
    with pytest.raises(PostsyncError, match="vggsound-csv, audioset-csv"):
        imported("vggsound", listed, tmp_path)
    with pytest.raises(MediaError, match="no such file"):
        imported("vggsound-csv", tmp_path / "none.csv", tmp_path)
    listed.write_text("zxpo56cpUBU,7,a,b,test\n")
    with pytest.raises(MediaError, match="line 1: 5 cells"):
        imported("vggsound-csv", listed, tmp_path)
    listed.write_text("zxpo56cpUBU_000007.mp4,a\n")
    put("zxpo56cpUBU_000007.mp4")
    imported("vggsound-csv", listed, tmp_path)
    with pytest.raises(MediaError, match="--replace"):
        imported("vggsound-csv", listed, tmp_path)
    assert imported("vggsound-csv", listed, tmp_path, replace=True, options=ImportOptions(split="val"))[
        "vggsound.zxpo56cpUBU.7000"]["split"] == "val"
