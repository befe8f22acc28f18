"""ALOHA episodes, hand-made in the real layout; and that HDF5 files cannot lead to other files."""

import builtins
import io
import pickle

import h5py
import numpy as np
import pytest
from PIL import Image

from remot.data.annotations import AlohaReader
from remot.data.media import check_media, read_frames
from remot.data.media import hdf5 as hdf5_module
from remot.errors import AnnotationError, ConfigError, DecodeError
from tests.data.annotations.good_clips import good_clips
from tests.helpers import assert_close

NUM_FRAMES = 3
#: Red, green and blue of every image; frame k is 10 k brighter.
COLOUR = np.array([200, 100, 20])
LEFT, RIGHT = [0.0, 0.5, 1.0], [1.0, 1.05, 0.25]


def pictures():
    frames = COLOUR + 10 * np.arange(NUM_FRAMES)[:, None]
    return np.broadcast_to(frames[:, None, None, :], (NUM_FRAMES, 24, 32, 3)).astype(np.uint8)


def encoded(frame):
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def padded(frames):
    rows = [np.frombuffer(encoded(frame), np.uint8) for frame in frames]
    longest = max(len(row) for row in rows)
    return np.stack([np.pad(row, (0, longest - len(row) + 40)) for row in rows])


def states():
    qpos = np.full((NUM_FRAMES, 14), 9.0)  # joint angles, no openings
    qpos[:, 6], qpos[:, 13] = LEFT, RIGHT
    return qpos


def write_episode(root, *, images=None, qpos=None, name="episode_0.hdf5", sim=False, **arrays):
    with h5py.File(root / name, "w") as content:
        content.attrs["sim"] = sim
        for camera, frames in (images or {"top": pictures()}).items():
            content[f"observations/images/{camera}"] = frames
        content["observations/qpos"] = states() if qpos is None else qpos
        content["action"] = states()
        for key, array in arrays.items():
            content[key.replace("__", "/")] = array
    return root


def read(root, **settings):
    return list(AlohaReader(**settings).read(root))


def colours(clip, indices=range(NUM_FRAMES)):
    return [[round(float(channel.float().mean())) for channel in frame] for frame in read_frames(clip, indices)]


def test_openings_and_images(tmp_path):
    (clip,) = read(write_episode(tmp_path))
    assert_close(clip.effectors["left arm"].opening, LEFT)
    assert_close(clip.effectors["right arm"].opening, [1, 1, 0.25])  # a little more than open is open
    assert np.isnan(clip.effectors["left arm"].positions).all()
    assert_close(clip.pts_seconds, [0, 0.02, 0.04])
    assert colours(clip, [2, 0]) == [[220, 120, 40], [200, 100, 20]]
    assert (clip.clip_id, clip.scene_id, clip.domain) == ("episode_0", "episode_0", "aloha")


def test_padded_jpeg_images_and_their_channel_order(tmp_path):
    """A program that gives RGB to an encoder which expects BGR stores red as blue."""
    write_episode(tmp_path, images={"top": padded(pictures()[:, :, :, ::-1])}, compress_len=np.zeros((1, 3)))
    (plain,) = read(tmp_path)
    (swapped,) = read(tmp_path, channel_order="bgr")
    for clip, expected in ((plain, COLOUR[::-1]), (swapped, COLOUR)):
        assert np.abs(np.array(colours(clip)[0]) - expected).max() <= 3


def test_jpeg_rows_of_their_own_lengths(tmp_path):
    rows = np.empty(NUM_FRAMES, dtype=object)
    rows[:] = [np.frombuffer(encoded(frame), np.uint8) for frame in pictures()]
    with h5py.File(write_episode(tmp_path, images={"other": pictures()}) / "episode_0.hdf5", "a") as content:
        content.create_dataset("observations/images/top", data=rows, dtype=h5py.vlen_dtype(np.uint8))
    (clip,) = read(tmp_path, camera="top")
    assert np.abs(np.array(colours(clip)[2]) - (COLOUR + 20)).max() <= 3


def test_positions_of_both_arms_in_their_own_axes(tmp_path):
    """The arms face each other: forward is to the right for the left arm and to the left for the right arm."""
    places = np.zeros((NUM_FRAMES, 2, 7))
    places[1, :, 0], places[2, :, 2] = 0.1, 0.3
    write_episode(tmp_path, observations__ee_pos=places.reshape(NUM_FRAMES, 14))
    settings = {"positions": "observations/ee_pos", "left_axes": "x,-z,y", "right_axes": "-x,-z,-y"}
    (clip,) = read(tmp_path, **settings)
    assert_close(clip.effectors["left arm"].positions, [[0, 0, 0], [0.1, 0, 0], [0, -0.3, 0]])
    assert_close(clip.effectors["right arm"].positions, [[0, 0, 0], [-0.1, 0, 0], [0, -0.3, 0]])


def test_simulated_episodes_are_distinguished_and_folders_name_clips(tmp_path):
    (tmp_path / "cube").mkdir()
    write_episode(tmp_path / "cube", sim=True)
    write_episode(tmp_path)
    told = [(clip.clip_id, clip.domain) for clip in good_clips(AlohaReader(), tmp_path)]
    assert told == [("cube-episode_0", "aloha-sim"), ("episode_0", "aloha")]


def test_clips_travel_to_other_processes(tmp_path):
    (clip,) = read(write_episode(tmp_path))
    assert colours(pickle.loads(pickle.dumps(clip)), [1]) == [[210, 110, 30]]


def test_a_camera_has_to_be_chosen(tmp_path):
    write_episode(tmp_path, images={"high": pictures(), "low": pictures()})
    with pytest.raises(AnnotationError, match=r"observations/images.*high, low") as caught:
        read(tmp_path)
    assert caught.value.reason == "missing media"
    with pytest.raises(AnnotationError, match="there is no camera 'top'"):
        read(tmp_path, camera="top")
    assert read(tmp_path, camera="low")[0].camera_moves is False


def test_a_camera_at_a_wrist_moves(tmp_path):
    (clip,) = read(write_episode(tmp_path, images={"cam_left_wrist": pictures()}))
    assert clip.camera_moves


@pytest.mark.parametrize(
    ("changes", "message", "reason"),
    [
        ({"images": {"top": pictures()[:2]}}, r"3 rows in observations/qpos but 2 images", "unsynchronised"),
        ({"qpos": states()[:, :7]}, "shape 3x7, expected Nx14", "shape"),
        ({"qpos": states()[:0], "images": {"top": pictures()[:0]}}, "has no row", "zero length"),
        ({"qpos": states() * np.nan}, "qpos holds NaN", "not finite"),
        ({"qpos": states() * 3}, "left arm: 0 to 3 is no opening", "malformed"),
        ({"qpos": np.array(["a"] * 3, dtype="S1")}, "must hold numbers", "malformed"),
    ],
)
def test_bad_episodes_are_named(tmp_path, changes, message, reason):
    write_episode(tmp_path, **changes)
    with pytest.raises(AnnotationError, match=message) as caught:
        read(tmp_path)
    assert "episode_0.hdf5" in str(caught.value)
    assert caught.value.reason == reason


def test_bad_positions_are_named(tmp_path):
    write_episode(tmp_path, observations__ee=np.zeros((2, 6)), observations__five=np.zeros((3, 5)))
    with pytest.raises(AnnotationError, match=r"3 rows .*/qpos .* 2 in .*/ee"):
        read(tmp_path, positions="observations/ee")
    with pytest.raises(AnnotationError, match="shape 3x5, expected Nx2x3 or Nx2K"):
        read(tmp_path, positions="observations/five")
    with pytest.raises(AnnotationError, match=r"there is no 'observations/ee_pos', found ee, five, images, qpos"):
        read(tmp_path, positions="observations/ee_pos")


def test_absurd_sizes_are_refused_before_reading(tmp_path):
    write_episode(tmp_path)
    with h5py.File(tmp_path / "episode_0.hdf5", "a") as content:
        del content["observations/qpos"]
        content.create_dataset("observations/qpos", shape=(10**9, 14), dtype="f8", chunks=(1000, 14))
    with pytest.raises(AnnotationError, match="14000000000 numbers, more than") as caught:
        read(tmp_path)
    assert caught.value.reason == "too large"


def test_truncated_files_are_named(tmp_path):
    write_episode(tmp_path)
    file = tmp_path / "episode_0.hdf5"
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(AnnotationError, match=r"episode_0\.hdf5: cannot be read as HDF5"):
        read(tmp_path)


@pytest.mark.parametrize("kind", ["external link", "soft link", "raw storage", "virtual"])
def test_no_array_may_lie_in_another_file(tmp_path, kind):
    (tmp_path / "data").mkdir()
    write_episode(tmp_path, name="secret.hdf5")
    write_episode(tmp_path / "data")
    (tmp_path / "raw").write_bytes(states().tobytes())
    with h5py.File(tmp_path / "data" / "episode_0.hdf5", "a") as content:
        del content["observations/qpos"]
        if kind == "external link":
            content["observations/qpos"] = h5py.ExternalLink("../secret.hdf5", "observations/qpos")
        elif kind == "soft link":
            content["observations/qpos"] = h5py.SoftLink("/action")
        elif kind == "raw storage":
            raw = [(str(tmp_path / "raw"), 0, states().nbytes)]
            content.create_dataset("observations/qpos", shape=(3, 14), dtype="f8", external=raw)
        else:
            layout = h5py.VirtualLayout(shape=(3, 14), dtype="f8")
            layout[:] = h5py.VirtualSource(str(tmp_path / "secret.hdf5"), "observations/qpos", shape=(3, 14))
            content.create_virtual_dataset("observations/qpos", layout)
    with pytest.raises(AnnotationError, match=r"which is not (followed|read)") as caught:
        read(tmp_path / "data")
    assert caught.value.reason == "outside root"


def test_an_episode_outside_of_the_root(tmp_path):
    (tmp_path / "data").mkdir()
    write_episode(tmp_path)
    (tmp_path / "data" / "episode_0.hdf5").symlink_to(tmp_path / "episode_0.hdf5")
    with pytest.raises(AnnotationError, match="leads outside") as caught:
        read(tmp_path / "data")
    assert caught.value.reason == "outside root"


def test_images_that_are_gone_or_broken_are_named(tmp_path):
    broken = padded(pictures())
    broken[1, :20] = 0
    (clip,) = read(write_episode(tmp_path, images={"top": broken}))
    check_media(clip, decode=False)
    with pytest.raises(DecodeError, match=r"episode_0\.hdf5.*/top: image 1"):
        check_media(clip)
    (tmp_path / "episode_0.hdf5").unlink()
    with pytest.raises(DecodeError, match="cannot be read as HDF5"):
        check_media(clip, decode=False)


def test_images_of_another_shape_are_refused(tmp_path):
    (clip,) = read(write_episode(tmp_path, images={"top": np.zeros((3, 24, 32, 4), np.uint8)}))
    with pytest.raises(DecodeError, match="neither NxHxWx3 nor rows of encoded"):
        check_media(clip, decode=False)


def test_without_the_package_for_hdf5(tmp_path, monkeypatch):
    write_episode(tmp_path)
    real = builtins.__import__

    def no_h5py(name, *args, **kwargs):
        if name == "h5py":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_h5py)
    with pytest.raises(ConfigError, match=r"pip install remot\[robots\]"):
        read(tmp_path)


def test_unusable_settings_are_refused():
    with pytest.raises(ConfigError, match="fps is 0"):
        AlohaReader(fps=0)
    with pytest.raises(ConfigError, match="mirrors"):
        AlohaReader(left_axes="x,y,-z")
    assert hdf5_module.MAX_VALUES > 10**6
