"""Frames are the exact ones; what cannot be delivered is refused with the file's name."""

import resource
import struct
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from remot.data.annotations.native.reader import NativeReader
from remot.data.clips.bundled import embedded_clips_root
from remot.data.experts import default_experts
from remot.data.media import check_media, probe, read_frames, write_video
from remot.data.media import images as image_files
from remot.data.media.video import containers
from remot.data.media.video import seeking as walk
from remot.data.questions.writer import QuestionWriter
from remot.data.tasks.motion_contrast.sampler import TripletSampler
from remot.errors import DecodeError
from remot.structures import Clip
from tests.data.made import triplet_at, triplet_prompts
from tests.helpers import assert_close

FPS = 10


def grey_frames(num_frames, size=32):
    """Image k is uniformly grey, k times 6 mod 250, so that it says which one it is."""
    levels = (np.arange(num_frames) * 6 % 250).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (num_frames, size, size, 3)).copy()


def make_clip(media, num_frames, **times):
    return Clip("c", "s", "test", Path(media), np.arange(num_frames) / FPS, **times)


@pytest.fixture
def clip(tmp_path):
    write_video(tmp_path / "c.mp4", grey_frames(20), FPS, crf=1)
    return make_clip(tmp_path / "c.mp4", 20)


def number_of(image):
    """Which image this is, from its grey level."""
    return round(float(image.float().mean()) / 6)


def sequential_decode(path):
    with av.open(str(path)) as container:
        return [
            torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1) for frame in container.decode(video=0)
        ]


def test_frames_keep_order_and_duplicates(clip):
    pictures = read_frames(clip, [7, 0, 19, 7])
    assert [number_of(image) for image in pictures] == [7, 0, 19, 7]
    assert pictures[0].shape == (3, 32, 32)
    assert pictures[0].dtype == torch.uint8


def test_frames_equal_a_full_sequential_decode(clip):
    for image, reference in zip(read_frames(clip, range(20)), sequential_decode(clip.media), strict=True):
        assert torch.equal(image, reference)


@pytest.mark.parametrize("indices", [[397], [150, 151, 152], [9, 200, 399, 0], list(range(290, 310))])
def test_entering_at_a_keyframe_gives_the_same_frames(tmp_path, indices):
    write_video(tmp_path / "long.mp4", grey_frames(400), FPS)
    clip, reference = make_clip(tmp_path / "long.mp4", 400), sequential_decode(tmp_path / "long.mp4")
    assert len(reference) > walk.MAX_SEQUENTIAL_FRAMES
    for index, image in zip(indices, read_frames(clip, indices), strict=True):
        assert torch.equal(image, reference[index])


def test_time_zero_is_the_first_image_even_if_the_stream_starts_later(tmp_path):
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "1"})
        stream.width = stream.height = 32
        for number, image in enumerate(grey_frames(6)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number + 35
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    clip = make_clip(path, 6)
    assert [number_of(image) for image in read_frames(clip, range(6))] == list(range(6))
    assert_close(probe(path).pts_seconds, np.arange(6) / FPS, atol=2e-3)


def test_times_in_the_media_win_over_true_times(clip):
    slow = Clip("c", "s", "test", clip.media, np.arange(3) * 1.7, media_pts_seconds=np.array([0.5, 0.9, 1.2]))
    assert [number_of(image) for image in read_frames(slow, [0, 1, 2])] == [5, 9, 12]


@pytest.mark.parametrize(("time_seconds", "number"), [(0.54, 5), (0.56, 6), (1.94, 19)])
def test_the_nearest_image_within_half_an_interval_is_taken(clip, time_seconds, number):
    near = Clip("c", "s", "test", clip.media, np.array([time_seconds]))
    assert number_of(read_frames(near, [0])[0]) == number


def test_a_time_beyond_the_end_is_refused(clip):
    with pytest.raises(DecodeError, match=r"c\.mp4: .*frame at 1\.960 s"):
        read_frames(Clip("c", "s", "test", clip.media, np.array([1.96])), [0])


@pytest.mark.parametrize("index", [-1, 20])
def test_an_index_outside_the_clip_is_refused(clip, index):
    with pytest.raises(DecodeError, match="frames 0 to 19"):
        read_frames(clip, [index])


def test_probe_counts_without_decoding(clip):
    info = probe(clip.media)
    assert (info.num_frames, info.width, info.height) == (20, 32, 32)
    assert_close(info.pts_seconds, np.arange(20) / FPS, atol=1e-6)
    assert_close(info.duration_seconds, 2.0, rtol=1e-3)


@pytest.mark.parametrize("decode", [True, False])
def test_a_whole_file_passes_and_a_short_one_does_not(clip, decode):
    check_media(clip, decode=decode)
    with pytest.raises(DecodeError, match=r"c\.mp4"):
        check_media(make_clip(clip.media, 21), decode=decode)


@pytest.mark.parametrize("index_in_front", [True, False])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(tmp_path, index_in_front, share):
    """With its index in front a file still opens; then the damage shows only when it is decoded."""
    noise = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), dtype=np.uint8)
    write_video(tmp_path / "whole.mp4", noise, FPS)
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    if index_in_front:
        whole = move_index_to_front(whole)
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    check_media(make_clip(whole, 20))
    with pytest.raises(DecodeError, match=r"cut\.mp4"):
        check_media(make_clip(cut, 20))


def test_an_image_damaged_inside_the_file_is_refused(tmp_path):
    """The codec would conceal the damage and go on; the undamaged images before it stay readable."""
    noise = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), dtype=np.uint8)
    write_video(tmp_path / "hurt.mp4", noise, FPS)
    content = bytearray((tmp_path / "hurt.mp4").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 150] = b"\xff" * 150
    (tmp_path / "hurt.mp4").write_bytes(content)
    clip = make_clip(tmp_path / "hurt.mp4", 20)
    assert len(read_frames(clip, range(5))) == 5
    with pytest.raises(DecodeError, match=r"hurt\.mp4: .* is damaged"):
        check_media(clip)


def move_index_to_front(path):
    front = path.with_name("front.mp4")
    with av.open(str(path)) as source, av.open(str(front), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.pts is not None:
                packet.stream = stream
                target.mux(packet)
    return front


@pytest.mark.parametrize("content", [b"", b"no video at all", b"\x00" * 4000])
def test_what_is_no_video_is_refused(tmp_path, content):
    (tmp_path / "x.mp4").write_bytes(content)
    for use in (probe, lambda media: read_frames(make_clip(media, 2), [0])):
        with pytest.raises(DecodeError, match=r"x\.mp4"):
            use(tmp_path / "x.mp4")


@pytest.mark.parametrize("use", [probe, lambda media: read_frames(make_clip(media, 2), [0])])
def test_absurd_sizes_are_refused_before_they_are_decoded(tmp_path, monkeypatch, use):
    """A file of 56 bytes whose header says that its images have 20000 x 20000 pixels."""
    path = tmp_path / "bomb.gif"
    Image.new("P", (8, 8)).save(path, save_all=True, append_images=[Image.new("P", (8, 8), 1)], duration=100)
    content = bytearray(path.read_bytes())
    content[6:10] = struct.pack("<HH", 20_000, 20_000)
    path.write_bytes(content)
    before = peak_bytes()
    with pytest.raises(DecodeError, match=r"bomb\.gif: .*\d+ are allowed"):
        use(path)
    assert peak_bytes() - before < 2**28
    write_video(tmp_path / "fine.mp4", grey_frames(3), FPS)
    monkeypatch.setattr(image_files, "MAX_IMAGE_PIXELS", 32 * 32 - 1)
    with pytest.raises(DecodeError, match=r"fine\.mp4: .* 32 x 32 .* 1023"):
        use(tmp_path / "fine.mp4")


def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("indices", [[0], [3, 0, 3, 19], range(20)])
def test_a_video_is_opened_once(clip, monkeypatch, indices):
    opened = count_opens(monkeypatch)
    read_frames(clip, indices)
    assert opened == [str(clip.media)]


def test_a_prompt_opens_its_video_once(monkeypatch):
    """With the clips that come with the library and everything between an address and its images."""
    clips = [NativeReader().read_source(source, embedded_clips_root()) for source in embedded_sources()[:7]]
    data = triplet_prompts(clips, TripletSampler(default_experts()), QuestionWriter(), "train", num_prompts=20)
    opened = count_opens(monkeypatch)
    for address in range(12):
        assert len(data[address].images) == 3
        assert opened.pop() == str(triplet_at(data, address).clip.media)
        assert not opened


def embedded_sources():
    return NativeReader().sources(embedded_clips_root())


def count_opens(monkeypatch):
    opened, open_file = [], av.open

    def counting(file, *arguments, **options):
        opened.append(file)
        return open_file(file, *arguments, **options)

    monkeypatch.setattr(containers.av, "open", counting)
    return opened


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DecodeError, match=r"gone\.mp4"):
        read_frames(make_clip(tmp_path / "gone.mp4", 2), [0])


def test_a_folder_of_images_is_read_in_name_order(tmp_path):
    for number, image in enumerate(grey_frames(5)):
        Image.fromarray(image).save(tmp_path / f"{number:03}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    clip = make_clip(tmp_path, 5)
    assert [number_of(image) for image in read_frames(clip, [4, 0, 4])] == [4, 0, 4]
    check_media(clip)
    with pytest.raises(DecodeError, match="holds 5 images, 6 are needed"):
        check_media(make_clip(tmp_path, 6), decode=False)
    (tmp_path / "002.png").write_bytes(b"broken")
    with pytest.raises(DecodeError, match=r"002\.png"):
        check_media(clip)


def test_writing_is_deterministic(tmp_path):
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.mp4", grey_frames(12), FPS)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_odd_sizes_cannot_be_written(tmp_path):
    with pytest.raises(DecodeError, match="even height and width"):
        write_video(tmp_path / "odd.mp4", grey_frames(2, size=31), FPS)


# -- files that name other files ---------------------------------------------------------------------------------------


@pytest.fixture
def play_lists(tmp_path):
    """A folder with lists that name a video beside them and one elsewhere, each playable."""
    write_video(tmp_path / "elsewhere.mp4", grey_frames(4), FPS)
    with av.open(str(tmp_path / "elsewhere.mp4")) as source, av.open(str(tmp_path / "elsewhere.ts"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    folder = tmp_path / "clips"
    folder.mkdir()
    write_video(folder / "beside.mp4", grey_frames(4), FPS)
    (folder / "beside.avi").write_text("ffconcat version 1.0\nfile beside.mp4\n")
    lines = ("#EXTM3U", "#EXT-X-TARGETDURATION:9", "#EXTINF:1,", str(tmp_path / "elsewhere.ts"), "#EXT-X-ENDLIST")
    (folder / "elsewhere.m3u8").write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize("takes_options", [True, False])
@pytest.mark.parametrize("name", ["beside.avi", "elsewhere.m3u8"])
def test_play_lists_are_refused(play_lists, name, takes_options, monkeypatch):
    """Else a clip could show images from outside its folder, and of files that its annotation does not name."""
    with av.open(str(play_lists / name)) as container:
        assert len(list(container.decode(video=0))) == 4  # the codec library would play it
    monkeypatch.setattr(containers, "TAKES_OPTIONS_ALWAYS", takes_options)
    with pytest.raises(DecodeError, match=name):
        probe(play_lists / name)


@pytest.mark.parametrize("decode", [True, False])
@pytest.mark.parametrize(("clock", "first"), [(33.0, 5), (30.6, 25)])
def test_annotated_times_that_drift_from_the_video_are_found(tmp_path, decode, clock, first):
    """A video at 30 a second. Row k of a clock at 33 lies at image k / 1.1: row 5 at 4.55, row 6 at 5.45, both
    nearest to 5. Row k of a clock at 30.6 lies at k / 1.02: row 25 at 24.51, row 26 at 25.49, both nearest to 25."""
    write_video(tmp_path / "v.mp4", grey_frames(40), 30)
    drifting = Clip("c", "s", "d", tmp_path / "v.mp4", np.arange(36) / clock)
    with pytest.raises(DecodeError, match=rf"v\.mp4: annotated frames {first} and {first + 1},") as caught:
        check_media(drifting, decode=decode)
    assert f"at {first / clock:.3f} and {(first + 1) / clock:.3f} s" in str(caught.value)
    assert f"at {first / 30:.3f} s" in str(caught.value)
    check_media(replace(drifting, media_pts_seconds=np.arange(36) / 30), decode=decode)
