"""Files as cameras, phones and editors write them: what the container says is understood, and goes along."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from postsync.errors import MediaError
from postsync.media.boxes import fixed_point, set_shown_size, shown_size
from postsync.media.holding import check_holds
from postsync.media.matroska import set_pixel_aspect
from postsync.media.mux import mux
from postsync.media.video import iter_frames, probe

SILENCE = np.zeros((1, 16000), np.float32)
X265 = {"x265-params": "log-level=none"}


def picture(path: Path) -> av.video.stream.VideoStream:
    with av.open(str(path)) as container:
        return container.streams.video[0]


def remuxed(path: Path, target: Path, shift_s: float = 0.0, options: dict[str, str] | None = None,
            metadata: dict[str, str] | None = None, fmt: str | None = None, **track: str) -> Path:
    """The picture's packets, `shift_s` later, in another file with these metadata, of the file and of the track."""
    with av.open(str(path)) as read, av.open(str(target), "w", format=fmt, container_options=options or {}) as write:
        stream = read.streams.video[0]
        twin = write.add_stream_from_template(stream, opaque=True)
        twin.metadata.update(track)
        write.metadata.update(metadata or {})
        for packet in read.demux(stream):
            if packet.size:
                ticks = round(shift_s / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts + ticks, packet.dts + ticks, twin
                write.mux(packet)
    return target


def test_bytes_after_the_last_box_are_no_missing_end(make_video):
    path = make_video(ticks=range(10))
    whole = path.read_bytes()
    path.write_bytes(whole + b"\x00\x12\x34\x56SEFT" + bytes(range(100)))
    assert probe(path).num_frames == 10
    path.write_bytes(whole[:-60])
    with pytest.raises(MediaError, match="cut short"):
        probe(path)


@pytest.mark.parametrize(("codec", "pixels", "suffixes"), [
    ("mpeg4", "yuv420p", (".mp4", ".mov", ".mkv")), ("ffv1", "yuv420p", (".mkv",)),
    ("libvpx-vp9", "yuv420p", (".webm", ".mkv")),
    ("libx264", "yuv420p", (".mp4", ".mov", ".mkv")), ("prores_ks", "yuv422p10le", (".mov", ".mkv"))])
def test_the_pixel_aspect_of_the_container_is_kept(make_video, tmp_path, codec, pixels, suffixes):
    """Stated by the container alone: what is inside says another shape, or none."""
    path = make_video("a.mov" if codec == "prores_ks" else "a.mkv", ticks=range(5), codec=codec, pix_fmt=pixels)
    wide = tmp_path / f"wide{path.suffix}"
    with av.open(str(path)) as read, av.open(str(wide), "w") as write:
        twin = write.add_stream_from_template(read.streams.video[0], opaque=True)
        twin.codec_context.sample_aspect_ratio = Fraction(32, 27)
        for packet in read.demux(video=0):
            if packet.size:
                packet.stream = twin
                write.mux(packet)
    if wide.suffix == ".mkv":
        assert set_pixel_aspect(wide, Fraction(32, 27), webm=False)
    assert picture(wide).sample_aspect_ratio == Fraction(32, 27)
    for suffix in suffixes:
        output = mux(wide, SILENCE, 16000, tmp_path / f"out{suffix}")
        shown = picture(output).sample_aspect_ratio
        assert shown == Fraction(32, 27) if suffix != ".webm" else float(shown) == pytest.approx(32 / 27, rel=0.02)
        assert [frame.time_s for frame in iter_frames(output)] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16], abs=0.001)


@pytest.mark.parametrize("output", ["out.mp4", "out.mov"])
def test_the_size_at_which_a_picture_is_shown_is_kept(make_video, tmp_path, output):
    path = make_video("a.mov", ticks=range(5), sounds=["aac"])
    assert shown_size(path, 1) == fixed_point(64, 48)
    set_shown_size(path, 1, fixed_point(85.5, 48))
    assert shown_size(path, 1) == struct.pack(">II", 85 << 16 | 1 << 15, 48 << 16)
    assert shown_size(mux(path, SILENCE, 16000, tmp_path / output), 1) == fixed_point(85.5, 48)
    assert shown_size(path, 9) is None


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
@pytest.mark.parametrize(("profile", "tag", "pixels"), [("4", "ap4h", "yuv444p10le"), ("0", "apco", "yuv422p10le")])
def test_the_flavour_of_prores_is_kept(make_video, tmp_path, profile, tag, pixels, suffix):
    path = make_video("a.mov", codec="prores_ks", pix_fmt=pixels, ticks=range(3), options={"profile": profile})
    assert picture(path).codec_context.codec_tag == tag
    assert picture(mux(path, SILENCE, 16000, tmp_path / f"out{suffix}")).codec_context.codec_tag == tag


@pytest.mark.parametrize(("source", "tag", "output", "kept"), [
    ("a.mkv", None, "out.mov", "hvc1"), ("a.mkv", None, "out.mp4", "hvc1"), ("a.mp4", "hev1", "out.mp4", "hev1"),
    ("a.mp4", "hvc1", "out.mov", "hvc1"), ("a.mp4", "dvh1", "out.mp4", "dvh1"), ("a.mp4", "dvh1", "out.mov", "hvc1")])
def test_hevc_gets_a_tag_that_apple_players_read(make_video, tmp_path, source, tag, output, kept):
    path = make_video(source, codec="libx265", tag=tag, ticks=range(3), options=X265)
    assert picture(mux(path, SILENCE, 16000, tmp_path / output)).codec_context.codec_tag == kept


KEYS = {"com.apple.quicktime.make": "Maker", "com.apple.quicktime.creationdate": "2023-05-01T12:00:00+0200",
        "com.android.version": "14", "title": "the forge"}


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv"])
def test_keys_of_phones_go_along(make_video, tmp_path, suffix):
    path = remuxed(make_video("a.mov", ticks=range(3)), tmp_path / "phone.mov", metadata=KEYS,
                   options={"movflags": "use_metadata_tags"})
    with av.open(str(mux(path, SILENCE, 16000, tmp_path / f"out{suffix}"))) as now:
        kept = {key.lower(): value for key, value in now.metadata.items()}
    assert {key: kept.get(key) for key in KEYS} == KEYS


def boxed(data: bytes, path: list[bytes], addition: bytes) -> bytes:
    """An mp4, whose index is at the end, with a box put at the end of the one that `path` leads to."""
    at, places = 0, []
    for name in path:
        at = data.index(name, at) - 4
        places.append(at)
        at += 8
    end = places[-1] + int.from_bytes(data[places[-1]:places[-1] + 4], "big")
    changed = bytearray(data[:end] + addition + data[end:])
    for place in places:
        size = int.from_bytes(data[place:place + 4], "big") + len(addition)
        changed[place:place + 4] = struct.pack(">I", size)
    return bytes(changed)


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


DOLBY_VISION = box(b"dvvC", struct.pack(">BBBBB19x", 1, 0, 8 << 1, (1 << 3) | 0b101, 4 << 4))
SPHERE = box(b"sv3d", box(b"svhd", bytes(4) + b"x\0") + box(b"proj", box(b"prhd", bytes(16)) + box(b"equi", bytes(20))))


@pytest.mark.parametrize(("addition", "entry", "in_mkv", "kind"), [
    (DOLBY_VISION, b"hvc1", b"dvvC", "Dolby Vision"), (SPHERE, b"avc1", b"\x76\x70", "360-degree")])
def test_special_pictures_are_kept_or_named(make_video, tmp_path, caplog, addition, entry, in_mkv, kind):
    codec = {"codec": "libx265", "tag": "hvc1", "options": X265} if entry == b"hvc1" else {}
    path = make_video("a.mp4", ticks=range(3), **codec)
    path.write_bytes(boxed(path.read_bytes(), [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", entry], addition))
    assert addition[4:8] in mux(path, SILENCE, 16000, tmp_path / "out.mp4").read_bytes()
    assert in_mkv in mux(path, SILENCE, 16000, tmp_path / "out.mkv").read_bytes()[:1000]
    assert not caplog.records
    mux(path, SILENCE, 16000, tmp_path / "out.mov")
    assert f"its {kind} data are dropped" in caplog.text


@pytest.mark.parametrize("output", ["out.mov", "out.mp4"])
def test_the_timecode_track_is_kept(make_video, tmp_path, output):
    path = remuxed(make_video("a.mov", ticks=range(3)), tmp_path / "clip.mov", timecode="10:00:00:00")
    assert b"tmcd" in mux(path, SILENCE, 16000, tmp_path / output).read_bytes()
    assert picture(tmp_path / output).metadata["timecode"] == "10:00:00:00"


@pytest.mark.parametrize("shift_s", [72000.0, 2**33 / 90000 - 0.5, 0.08])
@pytest.mark.parametrize("output", ["out.mp4", "out.mov", "out.mkv"])
def test_times_that_start_anywhere_are_rebased(make_video, tmp_path, shift_s, output):
    """At 20 hours; just before the clock of a stream wraps round, which reads as a negative start; a little late."""
    path = remuxed(make_video("a.mp4", options={"bf": "2"}), tmp_path / "broadcast.ts", shift_s,
                   options={"mpegts_copyts": "1"}, fmt="mpegts")
    was = probe(path)
    assert was.first_pts_s == pytest.approx(shift_s if shift_s < 90000 else -0.5, abs=0.1)
    now = probe(mux(path, SILENCE, 16000, tmp_path / output))
    assert (now.first_pts_s, now.num_frames, now.duration_s) == (0, 30, pytest.approx(1.2))
    with av.open(str(tmp_path / output)) as container:
        assert container.duration / av.time_base == pytest.approx(1.2, abs=0.022)  # mkv: a frame of the codec more


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_the_soundtrack_starts_with_the_picture_and_lasts_as_long(make_video, tmp_path, suffix):
    """Where the picture was late, the encoder's priming was heard before it."""
    path = make_video(f"a{suffix}", ticks=range(2, 32))
    with av.open(str(mux(path, SILENCE, 16000, tmp_path / f"out{suffix}"))) as container:
        sound = container.streams.audio[0]
        assert (sound.start_time, sound.duration * sound.time_base) == (0, Fraction(6, 5))
        assert container.streams.video[0].start_time == 0


def test_chapters_move_with_the_picture(make_video, tmp_path):
    path = make_video("a.mkv", ticks=range(15, 45), chapters=True)
    with av.open(str(mux(path, SILENCE, 16000, tmp_path / "out.mkv"))) as container:
        found = [(float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"])) for c in container.chapters()]
    assert found == [(0.0, pytest.approx(0.4))]  # the first one ended before the picture began


def test_packed_b_frames_are_taken_apart(make_video, tmp_path, frame_number):
    path, packed = make_video("a.avi", codec="mpeg4", options={"bf": "1"}), tmp_path / "packed.avi"
    with av.open(str(path)) as read, av.open(str(packed), "w") as write:
        stream = read.streams.video[0]
        twin = write.add_stream_from_template(stream, opaque=True)
        contents = [bytes(packet) for packet in read.demux(stream) if packet.size]
        mark = b"\x00\x00\x01\xb2DivX503b1393p"
        parts = [contents[0].replace(b"\x00\x00\x01\xb6", mark + b"\x00\x00\x01\xb6", 1)]
        for kind, first, second in zip([c[4] >> 6 for c in contents[2:]], contents[1:], contents[2:], strict=False):
            if kind == 2:  # a B-picture is packed into the packet of the picture before it
                parts += [first + second, b"\x00\x00\x01\xb6\x50\x00\x00"]
        for number, content in enumerate(parts):
            packet = av.Packet(content)
            packet.stream, packet.dts, packet.pts, packet.time_base = twin, number, number, Fraction(1, 25)
            packet.is_keyframe = number == 0
            write.mux(packet)
    info = probe(packed)
    assert info.num_frames == len(parts)
    numbers = [frame_number(frame.image) for frame in iter_frames(packed)]
    assert numbers == list(range(len(parts)))
    output = mux(packed, SILENCE, 16000, tmp_path / "out.mp4")
    assert [frame_number(frame.image) for frame in iter_frames(output)] == numbers
    assert [frame.time_s for frame in iter_frames(output)] == pytest.approx([k / 25 for k in numbers])


def test_a_slide_may_be_shown_for_a_quarter_of_an_hour(make_video, tmp_path):
    path = make_video(ticks=(0, 1, 2 + 25 * 900))
    assert probe(path).duration_s == pytest.approx(900.12)


def test_longer_sound_is_no_missing_picture(make_video, caplog):
    assert probe(make_video("a.mkv", ticks=range(5), sounds=["aac"])).duration_s == pytest.approx(0.2)
    assert not caplog.records


def test_a_cover_without_its_flag_is_no_video(make_video, tmp_path):
    path, target = make_video("a.mp4", ticks=range(20)), tmp_path / "covered.mkv"
    with av.open(str(path)) as read, av.open(str(target), "w") as write:
        cover = write.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        twin = write.add_stream_from_template(read.streams.video[0])
        write.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8)).reformat(format="yuvj420p")))
        write.mux(cover.encode(None))
        for packet in read.demux(video=0):
            if packet.size:
                packet.stream = twin
                write.mux(packet)
    assert (probe(target).num_frames, probe(target).codec) == (20, "h264")
    assert probe(mux(target, SILENCE, 16000, tmp_path / "out.mkv")).num_frames == 20


def test_what_a_container_cannot_hold_is_said_with_advice_that_works(make_video, tmp_path):
    wmv = make_video("a.wmv", codec="wmv2", ticks=range(5))
    for suffix in (".mkv", ".mp4"):
        with pytest.raises(MediaError, match=r"cannot hold this picture \(wmv2\); convert the clip to H\.264 first"):
            check_holds(wmv, tmp_path / f"out{suffix}")
    raw = make_video("a.avi", codec="rawvideo", pix_fmt="bgr24", ticks=range(5))
    with pytest.raises(MediaError, match=r"\(rawvideo\); write '\.mov' instead"):
        check_holds(raw, tmp_path / "out.mkv")
    assert probe(mux(raw, SILENCE, 16000, tmp_path / "out.mov")).num_frames == 5
    spoken = make_video("a.mkv", sounds=["aac"], ticks=range(5))
    check_holds(spoken, tmp_path / "out.mkv", keep_sound=True)
    vp8 = make_video("b.mkv", codec="libvpx", sounds=["aac"], ticks=range(5))
    with pytest.raises(MediaError, match=r"cannot hold this sound \(aac\); write '\.mkv' instead"):
        check_holds(vp8, tmp_path / "out.webm", keep_sound=True)
    check_holds(vp8, tmp_path / "out.webm")


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_kept_and_new_sound_have_names(make_video, tmp_path, suffix):
    path = make_video(f"a{suffix}", ticks=range(5))
    spoken = mux(path, SILENCE, 16000, tmp_path / f"spoken{suffix}")
    with av.open(str(mux(spoken, SILENCE, 16000, tmp_path / f"both{suffix}", keep_sound=True))) as container:
        names = [{key.lower(): value for key, value in track.metadata.items()} for track in container.streams.audio]
    key = "title" if suffix == ".mkv" else "handler_name"
    assert [name[key] for name in names] == ["Original sound", "Generated sound"]
