"""Whatever the container, codec and clock: the image of a time is the one that a decode from start to end shows then.

The reference decodes with the codec library alone. Images carry their number, so that they are also checked by what
they show.
"""

import struct
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch

from remot.data.media import check_media, probe, read_frames
from remot.data.media.video import containers
from remot.data.media.video import decoding as finding
from remot.data.media.video import seeking as walk
from remot.errors import DecodeError
from remot.structures import Clip
from tests.data.media.numbered import edit_list, encode, number_of, numbered_images, replace_in_box, sequential_decode
from tests.helpers import assert_close

NUM = 30
GROUPS = {"g": "12", "bf": "2"}
#: A clock with gaps of 10 to 300 ms.
UNEVEN = np.cumsum(np.random.default_rng(1).integers(10, 300, NUM))

#: File name: arguments of ``encode``.
CASES = {
    "plain.mp4": {"options": {"g": "12", "bf": "0"}},
    "b_frames.mp4": {"options": GROUPS},
    "b_frames.mkv": {"options": GROUPS},
    "b_frames.ts": {"options": GROUPS},
    "b_frames.avi": {"options": GROUPS},
    "fragments.mp4": {"options": GROUPS, "muxing": {"movflags": "frag_keyframe+empty_moov"}},
    "one_group.mp4": {"options": {"g": "1000", "sc_threshold": "0"}},
    "open_groups.mp4": {"options": {"x264-params": "open-gop=1:keyint=12:bframes=2:b-adapt=0"}},
    "open_groups.mkv": {"options": {"x264-params": "open-gop=1:keyint=12:bframes=2:b-adapt=0"}},
    "no_keyframes.mp4": {"options": {"x264-params": "intra-refresh=1:keyint=12:bframes=0"}},
    "uneven.mp4": {"options": GROUPS, "pts": UNEVEN - UNEVEN[0]},
    "late.mp4": {"options": GROUPS, "pts": UNEVEN + 700},
    "late.mkv": {"options": GROUPS, "pts": UNEVEN + 700},
    "cut_by_edit_list.mp4": {"options": GROUPS, "pts": 100 * np.arange(NUM) - 550},
    "without_edit_list.mp4": {"options": GROUPS, "muxing": {"use_editlist": "0"}},
    "mpeg4.avi": {"codec": "mpeg4", "gop_size": 12},
    "mpeg4_b_frames.avi": {"codec": "mpeg4", "gop_size": 12, "max_b_frames": 2},
    "mpeg4_b_frames.mp4": {"codec": "mpeg4", "gop_size": 12, "max_b_frames": 2},
    "mpeg2.mpg": {"codec": "mpeg2video", "gop_size": 12, "max_b_frames": 2, "fps": 25},
    "motion_jpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=12:bframes=3:open-gop=0"}},
    "hevc_open.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=12:bframes=3:open-gop=1"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "12", "lag-in-frames": "16", "auto-alt-ref": "1"}},
    "single.mp4": {"num": 1},
    "single.mkv": {"num": 1},
}
#: The image that a file shows first, where it is not the first that was encoded.
FIRST_SHOWN = {"cut_by_edit_list.mp4": 6}
#: Older codec libraries do not tell where a file's keyframes are.
LISTS_KEYFRAMES = hasattr(av.stream.Stream, "index_entries")
#: H.264 in AVI has no times of its own, and those that the codec library gives are not in the order of the images.
UNORDERED = {"b_frames.avi"}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Writes a case once: its path, the times and the images of the reference."""
    folder, done = tmp_path_factory.mktemp("videos"), {}

    def record(name):
        if name not in done:
            settings = dict(CASES[name])
            if settings.get("codec", "libx264") not in av.codecs_available:
                pytest.skip(f"this build of the codec library cannot write {settings['codec']}")
            images = numbered_images(settings.pop("num", NUM))
            encode(folder / name, images, **settings)
            done[name] = folder / name, *sequential_decode(folder / name)
        return done[name]

    return record


def clip_of(path, times):
    return Clip("c", "s", "test", path, np.asarray(times))


def require_exact(path, times, images, index_lists):
    """Every image is that of the reference; how many were compared."""
    clip, count = clip_of(path, times), 0
    for indices in index_lists:
        for index, image in zip(indices, read_frames(clip, indices), strict=True):
            assert torch.equal(image, images[index]), f"{path.name}: frame {index} of {indices}"
            count += 1
    return count


@pytest.fixture(params=[pytest.param("from the start", marks=pytest.mark.slow), "as it comes", "by every keyframe"])
def entering(request, monkeypatch):
    """Ways into a file."""
    if request.param == "from the start":
        monkeypatch.setattr(walk, "ENTERABLE_FORMATS", frozenset())
    elif request.param == "by every keyframe":
        monkeypatch.setattr(walk, "MIN_JUMP_FRAMES", 0)
        monkeypatch.setattr(walk, "MAX_SEQUENTIAL_FRAMES", 0)
    return request.param


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("entering")
def test_exact(recorded, name):
    """Each frame alone, the first and last together, random three, and all."""
    path, times, images = recorded(name)
    everything, random = range(len(times)), np.random.default_rng(2)
    some = [random.choice(len(times), min(3, len(times)), replace=False).tolist() for _ in range(20)]
    assert require_exact(path, times, images, [[index] for index in everything]) == len(images)
    several = sum(map(len, some)) + 2 + len(images)
    assert require_exact(path, times, images, [*some, [len(times) - 1, 0], everything]) == several


@pytest.mark.parametrize("name", CASES)
def test_probe_lists_the_images_that_decode(recorded, name):
    path, times, images = recorded(name)
    info = probe(path)
    assert info.num_frames == len(images)
    assert_close(info.pts_seconds, times, atol=1e-9)
    for decode in (True, False):
        check_media(clip_of(path, times), decode=decode)
        with pytest.raises(DecodeError, match="no frame at"):
            check_media(clip_of(path, [*times, times[-1] + 0.4]), decode=decode)


@pytest.mark.parametrize("name", sorted(set(CASES) - UNORDERED))
def test_the_images_show_what_was_recorded(recorded, name):
    """Guards the reference: the image at the k-th time carries the number k."""
    path, times, _ = recorded(name)
    shown = [number_of(image) for image in read_frames(clip_of(path, times), range(len(times)))]
    first = FIRST_SHOWN.get(name, 0)
    assert shown == list(range(first, first + len(times)))
    assert shown[-1] == CASES[name].get("num", NUM) - 1


def test_times_that_go_backwards_are_met(recorded):
    """The case is what it is meant to be: images come in an order other than that of their times."""
    with av.open(str(recorded("b_frames.avi")[0])) as container:
        pts = [frame.pts for frame in container.decode(video=0)]
    assert pts != sorted(pts)


@pytest.mark.skipif(not LISTS_KEYFRAMES, reason="without a list of keyframes so short a file is never entered")
def test_a_program_stream_is_not_entered(recorded, monkeypatch):
    """Its times are counted from wherever reading begins, so that entering it would give wrong images."""
    path, times, images = recorded("mpeg2.mpg")
    monkeypatch.setattr(walk, "ENTERABLE_FORMATS", frozenset({"mpeg"}))
    monkeypatch.setattr(walk, "MIN_JUMP_FRAMES", 0)
    with pytest.raises((AssertionError, DecodeError)):
        require_exact(path, times, images, [[index] for index in range(len(times))])


def test_uneven_times_are_found_within_half_the_usual_interval(recorded):
    path, times, images = recorded("uneven.mp4")
    tolerance = probe(path).tolerance_seconds
    place = int(np.argmax(np.diff(times)))
    assert torch.equal(read_frames(clip_of(path, [times[place] + 0.9 * tolerance]), [0])[0], images[place])
    for decode in (True, False):
        with pytest.raises(DecodeError, match="no frame at"):
            check_media(clip_of(path, [times[place] + 1.1 * tolerance]), decode=decode)


@pytest.mark.usefixtures("entering")
def test_an_edit_list_of_two_stretches(tmp_path):
    """Images 5 to 19 and 30 to 44 of 60; the file holds the others, and no player shows them."""
    path = encode(tmp_path / "edited.mp4", numbered_images(60), options=GROUPS)
    with av.open(str(path)) as container:
        ticks = round(0.1 / container.streams.video[0].time_base)
    delay = 2  # images by which two B-frames shift the track's clock
    stretches = edit_list((1500, (5 + delay) * ticks), (1500, (30 + delay) * ticks))
    replace_in_box(path, ["moov", "trak", "edts", "elst"], lambda _: stretches)
    times, images = sequential_decode(path)
    assert [number_of(image) for image in images] == [*range(5, 20), *range(30, 45)]
    assert_close(probe(path).pts_seconds, times)
    require_exact(path, times, images, [[index] for index in range(30)] + [[29, 3, 16], range(30)])


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.usefixtures("entering")
def test_a_file_cut_out_of_open_groups(recorded, suffix):
    """It begins with images that need what was cut off. They decode to nothing, and time 0 is the first that does."""
    whole = recorded("hevc_open.mp4")[0]
    path = whole.with_name(f"cut.{suffix}")
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream, num_keyframes = target.add_stream_from_template(source.streams.video[0]), 0
        for packet in source.demux(video=0):
            num_keyframes += packet.is_keyframe
            if num_keyframes > 1 and packet.pts is not None:
                packet.stream = stream
                target.mux(packet)
    times, images = sequential_decode(path)
    with av.open(str(path)) as container:
        assert sum(packet.size > 0 for packet in container.demux(video=0)) > len(images)
    assert_close(probe(path).pts_seconds, times)
    require_exact(path, times, images, [[index] for index in range(len(times))] + [range(len(times))])
    assert number_of(images[0]) == NUM - len(images)


@pytest.mark.usefixtures("entering")
def test_the_first_of_several_streams_is_read(tmp_path):
    path, images = tmp_path / "two.mp4", numbered_images(NUM)
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=rate, options=GROUPS) for rate in (10, 25)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = images.shape[2], images.shape[1], "yuv420p"
        for number in range(NUM):
            for stream, image in zip(streams, (images[number], 255 - images[number]), strict=True):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        for stream in streams:
            container.mux(stream.encode())
    times, reference = sequential_decode(path)
    require_exact(path, times, reference, [[0], [NUM - 1, 20, 7], range(NUM)])
    assert number_of(read_frames(clip_of(path, times), [23])[0]) == 23
    assert_close(probe(path).pts_seconds, np.arange(NUM) / 10)


def test_a_cover_image_is_passed_over():
    """Which files put it first depends on the codec library, so the streams are made up."""
    if not hasattr(av.stream, "Disposition"):
        pytest.skip("this codec library does not tell covers from films")
    disposition = av.stream.Disposition
    cover, film = (SimpleNamespace(disposition=kind) for kind in (disposition.attached_pic, disposition.default))
    container = SimpleNamespace(streams=SimpleNamespace(video=[cover, film]))
    assert containers.image_stream(Path("a.mp4"), container) is film
    container.streams.video.pop()
    with pytest.raises(DecodeError, match=r"a\.mp4: .*video stream"):
        containers.image_stream(Path("a.mp4"), container)


@pytest.mark.usefixtures("entering")
def test_episodes_one_after_the_other_in_one_file(tmp_path):
    """A clip looks only at its own stretch: the second of three episodes of 20 images."""
    path = encode(tmp_path / "all.mp4", numbered_images(60), options=GROUPS)
    episode = Clip("e", "s", "test", path, np.arange(20) / 10, media_pts_seconds=2.0 + np.arange(20) / 10)
    assert [number_of(image) for image in read_frames(episode, [19, 0, 7])] == [39, 20, 27]
    check_media(episode)


def test_a_turned_video_is_read_as_stored(tmp_path):
    """Boxes are given in stored pixels; the note that a player should turn the image is not obeyed."""
    path = encode(tmp_path / "turned.mp4", numbered_images(5))

    def quarter_turn(header):
        matrix = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 48 << 16, 0, 1 << 30)
        return header[:40] + matrix + header[76:]

    replace_in_box(path, ["moov", "trak", "tkhd"], quarter_turn)
    with av.open(str(path)) as container:
        assert abs(getattr(next(container.decode(video=0)), "rotation", 90)) == 90
    (image,) = read_frames(clip_of(path, [0.0, 0.3]), [1])
    assert image.shape == (3, 48, 64)
    assert number_of(image) == 3
    assert (probe(path).width, probe(path).height) == (64, 48)


@pytest.fixture(scope="module", params=["mp4", "mkv"])
def long_video(request, tmp_path_factory):
    """900 images with a keyframe every 30: its path, times and images, and how many may be decoded for four."""
    path = tmp_path_factory.mktemp("long") / f"long.{request.param}"
    encode(path, numbered_images(900), options={"g": "30", "bf": "2", "preset": "ultrafast"})
    return path, *sequential_decode(path), 110 if request.param == "mp4" and LISTS_KEYFRAMES else 500


@pytest.mark.parametrize("indices", [[800], [0, 450, 899], [300, 301, 302], [899, 5, 620, 6]])
def test_few_images_of_a_long_video_need_little_decoding(long_video, monkeypatch, indices):
    """Images far apart are reached by their own keyframes, not through all that lies between."""
    path, times, images, max_decoded = long_video
    decoded = count_decoded(monkeypatch)
    require_exact(path, times, images, [indices])
    assert len(decoded) < max_decoded


def count_decoded(monkeypatch):
    """Grows by one for each image that the library decodes."""
    seen, real = [], walk.Walk._timed

    def counting(self, packets):
        for timed in real(self, packets):
            seen.append(timed[0])
            yield timed

    monkeypatch.setattr(walk.Walk, "_timed", counting)
    return seen


@pytest.mark.parametrize("rounding_seconds", [-1e-6, 0.0, 1e-6])
def test_nothing_is_decoded_beyond_an_exact_time(recorded, monkeypatch, rounding_seconds):
    path, times, _ = recorded("plain.mp4")
    decoded = count_decoded(monkeypatch)
    read_frames(clip_of(path, times + rounding_seconds), [5])
    assert len(decoded) == 6


def test_images_that_no_other_needs_are_left_out(recorded, monkeypatch):
    """Of one group with B-frames the last image needs fewer than all; without a mark in the codec it needs all."""
    path, times, _ = recorded("one_group.mp4")
    assert len(times) == NUM
    decoded = count_decoded(monkeypatch)
    read_frames(clip_of(path, times), [NUM - 1])
    num_needed = len(decoded)
    monkeypatch.setattr(walk, "CODECS_WITH_UNUSED_IMAGES", frozenset())
    read_frames(clip_of(path, times), [NUM - 1])
    assert num_needed < len(decoded) - num_needed == NUM


@pytest.mark.parametrize("name", ["b_frames.avi", "no_keyframes.mp4", "cut_by_edit_list.mp4", "open_groups.mp4"])
def test_keyframes_that_cannot_be_used_are_passed_over(recorded, monkeypatch, name):
    """Those shown too late and those from which a decoder recovers slowly; no file is read again from its start."""
    path, times, _ = recorded(name)
    monkeypatch.setattr(walk, "MIN_JUMP_FRAMES", 0)
    decode, tries = finding.decoded, []

    def recording(media, wanted, *, may_skip):
        tries.append(may_skip)
        return decode(media, wanted, may_skip=may_skip)

    monkeypatch.setattr(finding, "decoded", recording)
    for index in range(len(times)):
        read_frames(clip_of(path, times), [index])
    assert tries == [True] * len(times)


def test_what_is_not_found_by_leaving_out_images_is_looked_for_again(recorded, monkeypatch):
    """With a seek that lands behind what is wanted, the image still comes, from the start."""
    path, times, images = recorded("b_frames.mp4")
    monkeypatch.setattr(walk, "MIN_JUMP_FRAMES", 0)
    targets = []
    monkeypatch.setattr(walk.Walk, "_entered", lambda _, target: iter(targets.append(target) or ()))
    require_exact(path, times, images, [[NUM - 1], [3, 20]])
    assert targets, "nothing was entered, so nothing was missed"


def test_images_that_grow_beyond_the_limit_are_refused(tmp_path, monkeypatch):
    """The header tells the size of the first image only; from the sixth on they are twice as wide and high."""
    small = numbered_images(10)
    path = encode(tmp_path / "grows.avi", small[:5], "mjpeg", pix_fmt="yuvj420p")
    large = encode(tmp_path / "large.avi", small.repeat(2, axis=1).repeat(2, axis=2), "mjpeg", pix_fmt="yuvj420p")
    with av.open(str(path)) as first, av.open(str(large)) as second, av.open(str(tmp_path / "both.avi"), "w") as target:
        stream = target.add_stream_from_template(first.streams.video[0])
        packets = [packet for source in (first, second) for packet in source.demux(video=0) if packet.size]
        for number, packet in enumerate(packets):
            packet.stream, packet.pts, packet.dts = stream, number, number
            target.mux(packet)
    times, decoded = sequential_decode(tmp_path / "both.avi")
    assert [tuple(image.shape[1:]) for image in decoded] == [(48, 64)] * 5 + [(96, 128)] * 10
    require_exact(tmp_path / "both.avi", times, decoded, [range(15)])
    monkeypatch.setattr(containers, "MAX_IMAGE_PIXELS", 48 * 64)
    require_exact(tmp_path / "both.avi", times, decoded, [range(5)])
    with pytest.raises(DecodeError, match=r"both\.avi"):
        read_frames(clip_of(tmp_path / "both.avi", times), [12])


@pytest.mark.parametrize("time_seconds", [float("nan"), float("inf"), -1.0, 1e300])
def test_absurd_times_are_refused(recorded, time_seconds):
    path, _, _ = recorded("plain.mp4")
    clip = Clip("c", "s", "test", path, np.array([0.0]), media_pts_seconds=np.array([time_seconds]))
    for use in (lambda: read_frames(clip, [0]), lambda: check_media(clip), lambda: check_media(clip, decode=False)):
        with pytest.raises(DecodeError, match=r"plain\.mp4: .*(no frame at|not finite)"):
            use()


def test_a_video_without_times_is_refused(tmp_path):
    path = encode(tmp_path / "raw.h264", numbered_images(5), options=GROUPS)
    for use in (probe, lambda media: read_frames(clip_of(media, [0.0]), [0])):
        with pytest.raises(DecodeError, match=r"raw\.h264"):
            use(path)


def test_threads_do_not_change_a_bit(recorded):
    """Images are decoded by one thread; that is a choice of speed only."""
    path, _, images = recorded("b_frames.mp4")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.thread_count = "AUTO", 4
        for frame, image in zip(container.decode(stream), images, strict=True):
            assert torch.equal(torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1), image)
