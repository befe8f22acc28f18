"""Walks of SIMS-V, hand-made in the schema that its generator (ellisbrown/SIMS-V 2151311) writes."""

import json

import numpy as np
import pytest

from remot.data.annotations import SIMSVReader
from remot.data.media import write_video
from remot.data.tasks import AppearanceOrder, FrameSampling, ObjectCounting, RelativeDirection, RoomSize
from remot.data.tasks.rooms.scene import Scene
from remot.errors import AnnotationError
from tests.helpers import assert_close

#: Share of the image that each thing covers in each of four frames; 0 where it has no mask. One chair is never seen.
SHARES = {
    "Chair|1|0": (0.2, 0.0, 0.0, 0.0),
    "Chair|1|1": (0.0, 0.1, 0.0, 0.0),
    "DiningTable|1|2": (0.0, 0.03, 0.3, 0.0),
    "ObjaTVStand|2|5": (0.0, 0.0, 0.0, 0.4),
    "Floor|1": (0.3, 0.3, 0.3, 0.3),
}
#: Unity's axes: x to the right, y up, z ahead, seen from above with z up.
PLACES = {
    "Chair|1|0": (1.0, 0.5, 2.0),
    "Chair|1|1": (3.0, 0.5, 2.0),
    "Chair|1|9": (8.0, 0.5, 2.0),
    "DiningTable|1|2": (1.0, 0.4, 5.0),
    "ObjaTVStand|2|5": (4.0, 0.3, 6.0),
    "Floor|1": (4.0, 0.0, 4.0),
}
KINDS = {name: name.split("|")[0].replace("Obja", "") for name in PLACES}


def box(name):
    x, y, z = PLACES[name]
    return {
        "centroid": [x, y, z],
        "axesLengths": [0.4, 0.8, 1.2],
        "normalizedAxes": [1, 0, 0, 0, 1, 0, 0, 0, 1],
        "min": [x - 0.2, y - 0.4, z - 0.6],
        "max": [x + 0.2, y + 0.4, z + 0.6],
        "object_id": name,
        "asset_id": "any",
        "object_type": KINDS[name],
    }


METADATA = {
    "house_area": 48.5,
    "house_center": [4.0, 4.0],
    "room_data": {"room|1": {"area": 48.5, "length": 8, "width": 6, "type": "Kitchen", "floor_material": "Wood"}},
    "object_counts": {"Chair": 3, "DiningTable": 1, "TVStand": 1, "Floor": 1},
    "object_bbox": [box(name) for name in PLACES],
}


def line(frame, yaw=0.0, place=(2.0, 0.9, 3.0)):
    seen = {name: shares[frame] for name, shares in SHARES.items() if shares[frame]}
    return {
        "idx": frame,
        "time": 0.1 * frame + 7,
        "agent": {
            "position": dict(zip("xyz", place, strict=True)),
            "rotation": {"x": 0.0, "y": yaw, "z": 0.0},
        },
        "objects": {
            name: {
                "num_pixels": int(share * 396 * 224),
                "pct_pixels": share,
                "visible": True,
                "is_objaverse": name.startswith("Obja"),
                "distance": 1.0,
                "object_type": "Undefined" if name.startswith("Obja") else KINDS[name],
                "asset_id": "any",
                "synset": "thing.n.01",
                "salientMaterials": None,
                "parent_receptacles": None,
            }
            for name, share in seen.items()
        },
    }


LINES = [line(frame, yaw=90.0 * frame) for frame in range(4)]


def write(root, lines=LINES, metadata=METADATA, video="rgb__0.mp4", num_images=4):
    house = root / "val" / "000000"
    house.mkdir(parents=True, exist_ok=True)
    (house / "offline_annos__0.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    (house / "spatial_metadata.json").write_text(json.dumps(metadata))
    if video:
        write_video(house / video, np.zeros((num_images, 32, 48, 3), dtype=np.uint8), 10)
    return house


def read(root, **settings):
    (clip,) = SIMSVReader(**settings).read(root)
    return clip


def layout(clip):
    return {(box.name, *box.centre_metres[:2].tolist()): box for box in clip.layout}


@pytest.mark.parametrize("video", ["rgb__0.mp4", "raw_navigation_camera__0.mp4"])
def test_a_walk(tmp_path, video):
    write(tmp_path, video=video)
    clip = read(tmp_path)
    assert (clip.clip_id, clip.scene_id, clip.domain) == ("val-000000-0", "val-000000", "sims_v")
    assert clip.media.name == video
    assert_close(clip.pts_seconds, [0, 0.1, 0.2, 0.3])  # those of the video, not of the simulator's clock
    assert clip.room_area_square_metres == 48.5
    assert clip.complete_kinds == ("chair", "dining table", "tv stand")


def test_boxes_are_of_what_the_walk_shows_with_z_up(tmp_path):
    """Unity's (x, y, z) with y up and left-handed is (x, z, y) with z up; lengths go the same way."""
    write(tmp_path)
    found = layout(read(tmp_path))
    assert list(found) == [("chair", 1, 2), ("chair", 3, 2), ("dining table", 1, 5), ("tv stand", 4, 6)]
    one = found["chair", 1, 2]
    assert_close(one.centre_metres, [1.0, 2.0, 0.5])
    # in the world 0.4 m to the east, 1.2 m to the north and 0.8 m high
    assert_close(np.abs(one.axes).T @ one.size_metres, [0.4, 1.2, 0.8])
    assert_close(one.image_shares, [0.2, 0, 0, 0])


def test_the_camera_turns_clockwise_with_the_agent_and_looks_down(tmp_path):
    write(tmp_path)
    camera = read(tmp_path, camera_offset_metres=[0.0, 0.5, 0.1], pitch_degrees=30.0).camera
    cosine, sine = np.cos(np.radians(30)), 0.5
    # columns: right, down, ahead; at 0 degrees it looks north (Unity's z), at 90 east (Unity's x)
    north = np.array([[1, 0, 0], [0, -sine, cosine], [0, -cosine, -sine]])
    east = np.array([[0, -sine, cosine], [-1, 0, 0], [0, -cosine, -sine]])
    assert_close(camera.camera_to_world[0, :3, :3], north)
    assert_close(camera.camera_to_world[1, :3, :3], east)
    assert_close(camera.camera_to_world[:2, :3, 3], [[2.0, 3.1, 1.4], [2.1, 3.0, 1.4]])


def test_focal_length_from_the_vertical_field_of_view(tmp_path):
    write(tmp_path)
    camera = read(tmp_path, vertical_fov_degrees=90.0).camera
    assert_close(camera.intrinsics, [[16, 0, 24], [0, 16, 16], [0, 0, 1]])  # 32 pixels high


def test_what_counts_as_shown_is_annotated_and_not_projected(tmp_path):
    """The camera stands 1 m in front of the chairs, but the masks say in which frame each is seen."""
    write(tmp_path)
    clip = read(tmp_path)
    assert Scene(clip, (0, 1, 2, 3), 0.2, min_share=0.05).is_seen == (True, True, True, True)
    assert Scene(clip, (0, 1), 0.2, min_share=0.05).is_seen == (True, True, False, False)  # the table has 3 % there
    assert sorted(Scene(clip, (0, 1, 2), 0.2, min_share=0.05).kinds) == ["chair", "dining table"]
    assert sorted(Scene(clip, (0, 2, 3), 0.2, min_share=0.05).kinds) == ["dining table", "tv stand"]


def test_tasks_about_rooms_ask_about_walks(tmp_path):
    write(tmp_path)
    clip, generator = read(tmp_path), np.random.default_rng(0)
    frames = FrameSampling(4)
    assert ObjectCounting(frames=frames).plan(clip, generator).reference.number == 2
    assert RoomSize(frames=frames).plan(clip, generator).reference.number == 48.5
    order = AppearanceOrder(num_kinds=3, frames=frames)
    assert order.serves(clip)
    # the chair comes in frame 0, a bit of the table in frame 1 and all of it in 2, the stand in 3
    plan = order.plan(clip, generator)
    assert f"{plan.answer}. chair, dining table, tv stand" in plan.text
    assert not RelativeDirection(frames=frames).serves(clip)  # two names alone stand for one thing


def test_what_is_seen_and_has_no_box_rules_its_kind_out(tmp_path):
    flat = {**box("Chair|1|1"), "axesLengths": [0, 0, 0]}
    boxes = [flat, *(box(name) for name in PLACES if name not in {"Chair|1|1", "ObjaTVStand|2|5"})]
    write(tmp_path, metadata={**METADATA, "object_bbox": boxes})
    clip = read(tmp_path)
    assert [box.name for box in clip.layout] == ["chair", "dining table"]
    assert clip.complete_kinds == ("dining table",)


@pytest.mark.parametrize(
    ("lines", "fact"),
    [
        ([*LINES[:3], {**LINES[3], "agent": {**LINES[3]["agent"], "position": {"x": 1, "y": 2}}}], "position"),
        ([*LINES[:3], {key: value for key, value in LINES[3].items() if key != "objects"}], "objects"),
        ([*LINES[:3], {**LINES[3], "objects": {"Chair|1|0": {"pct_pixels": 1.5}}}], "pct_pixels"),
        ([*LINES[:3], {**LINES[3], "objects": {"Chair|1|0": {"pct_pixels": "many"}}}], "pct_pixels"),
        ([LINES[1], LINES[0], *LINES[2:]], "idx"),
    ],
)
def test_broken_lines_name_file_line_and_key(tmp_path, lines, fact):
    write(tmp_path, lines)
    with pytest.raises(AnnotationError, match=rf"offline_annos__0.jsonl: line [14]\b.*{fact}"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("changed", "fact"),
    [
        ({"object_bbox": [{**box("Chair|1|0"), "centroid": [1, 2]}]}, "centroid"),
        ({"object_bbox": [{"object_id": "Chair|1|0"}]}, "object_type"),
        ({"object_bbox": {}}, "object_bbox"),
        ({"object_bbox": [box("Chair|1|0"), box("Chair|1|0")]}, "Chair"),
        ({"house_area": -1}, "room_area"),
    ],
)
def test_broken_metadata_names_file_and_key(tmp_path, changed, fact):
    write(tmp_path, metadata={**METADATA, **changed})
    with pytest.raises(AnnotationError, match=rf"(?s)00000.*{fact}"):
        read(tmp_path)


def test_a_missing_video_or_one_of_another_length(tmp_path):
    house = write(tmp_path, video=None)
    with pytest.raises(AnnotationError) as caught:
        read(tmp_path)
    assert caught.value.reason == "missing media"
    write_video(house / "rgb__0.mp4", np.zeros((5, 32, 48, 3), dtype=np.uint8), 10)
    with pytest.raises(AnnotationError, match="4 lines but 5 images"):
        read(tmp_path)


def test_missing_metadata_says_which_command_writes_it(tmp_path):
    (write(tmp_path) / "spatial_metadata.json").unlink()
    with pytest.raises(AnnotationError, match=r"spatial_metadata\.json") as caught:
        read(tmp_path)
    assert caught.value.reason == "missing"
