"""The audit of a built folder: nothing wrong where nothing is, and every kind of change found."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from remot.commands.data.sources import data_from
from remot.data.records.folder import MANIFEST
from remot.data.records.parsing import from_record
from remot.data.records.schema import to_line
from remot.datatools.audit import audit_built
from remot.datatools.audit.built import MAX_COMPARED
from remot.datatools.build.images import image_name
from remot.errors import AnnotationError, ConfigError, DecodeError
from tests.datatools.builds import VARIED, built, lines_of, plain_root, section_of, varied_root, write_lines

NUM_PROMPTS = 60


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    return varied_root(tmp_path_factory.mktemp("varied") / "clips")


@pytest.fixture(scope="module")
def right(rich, tmp_path_factory):
    """A folder that is right."""
    return built(rich, tmp_path_factory.mktemp("built") / "out", NUM_PROMPTS, **VARIED)[0]


@pytest.fixture
def folder(right, tmp_path):
    """A copy to change."""
    shutil.copytree(right, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture(scope="module")
def data(rich):
    """The source of what was built, which is read once and not changed."""
    return data_from(section_of(rich, **VARIED))


def audit(folder, data):
    return audit_built(folder, data, frames_per_clip=1)


def test_what_was_built_is_right(right, data):
    found = audit(right, data)
    assert found.faults == []
    assert found.num_prompts == NUM_PROMPTS
    (labels,) = found.labels
    assert sum(labels.attributes.values()) == sum(len(one["remot"]["labels"]) for one in lines_of(right))
    assert len(labels.attributes) >= 15
    assert found.num_images == 3 * min(NUM_PROMPTS, MAX_COMPARED)
    assert set(found.overlap.scenes) == {"train", "val", "test"}


@pytest.mark.parametrize("settings", [{}, {"binary": True}, {"thinks": False}])
def test_plain_folders_are_right(tmp_path, settings):
    root = plain_root(tmp_path / "clips")
    folder, _ = built(root, tmp_path / "out", 30, **settings)
    found = audit_built(folder, data_from(section_of(root, **settings)))
    (labels,) = found.labels
    assert (labels.wrong, labels.letters, labels.impossible, found.facts, found.images) == ([], [], [], [], [])
    assert found.num_images == (60 if "binary" in settings else 90)


def test_only_the_first_ones_are_checked_if_asked(folder, data):
    records = lines_of(folder)
    records[-1]["remot"]["negative"] = "magic"
    write_lines(folder, records)
    assert audit_built(folder, data, NUM_PROMPTS - 1, 1).facts == []
    assert len(audit_built(folder, data, NUM_PROMPTS, 1).facts) == 1


# -- changes -------------------------------------------------------------------------------------------------------


def first(records, **wanted):
    """The first record of a kind."""
    for record in records:
        facts = record["remot"]
        found = {
            "format": facts["format"],
            "negative": facts["negative"],
            "attribute": facts["labels"][0]["attribute"],
            "still": any(label["value"] == "none" for label in facts["labels"]),
        }
        if found | wanted == found:
            return record
    raise LookupError(wanted)


def other(value, among):
    return next(one for one in among if one != value)


def a_label(records):
    label = first(records, attribute="camera_yaw", format="multiple_choice")["remot"]["labels"][1]
    label["value"] = other(label["value"], ("left", "right", "none"))


def a_label_and_its_answer(records):
    """The text, the letter and the label agree; only the clip does not."""
    record = first(records, attribute="camera_yaw", format="multiple_choice")
    label, slot = record["remot"]["labels"][0], record["remot"]["slots"][0]
    label["value"] = other(label["value"], slot["options"])
    slot["gold"] = slot["letters"][slot["options"].index(label["value"])]
    record["solution"] = f"<answer>{''.join(one['gold'] for one in record['remot']['slots'])}</answer>"


def a_size(records):
    first(records, attribute="effector_horizontal")["remot"]["labels"][0]["magnitude"] += 0.01


def a_subject(records):
    for label in first(records, attribute="gripper")["remot"]["labels"]:
        label["subject"] = other(label["subject"], ("left arm", "right_arm"))


def an_unknown_subject(records):
    for label in first(records, attribute="gripper")["remot"]["labels"]:
        label["subject"] = "third arm"


def a_letter(records):
    record = next(
        one for one in records if len(one["remot"]["slots"]) == 3 and one["remot"]["format"] == "multiple_choice"
    )
    slot = record["remot"]["slots"][2]
    slot["gold"] = other(slot["gold"], slot["letters"])
    record["solution"] = f"<answer>{''.join(one['gold'] for one in record['remot']['slots'])}</answer>"


def a_claim(records):
    record = first(records, format="true_false")
    slot = record["remot"]["slots"][0]
    slot["gold"] = other(slot["gold"], "TF")
    record["solution"] = f"<answer>{''.join(one['gold'] for one in record['remot']['slots'])}</answer>"


def a_number(records):
    record = first(records, format="fill_in")
    slots = record["remot"]["slots"]
    slots[0]["gold"] = str(float(slots[0]["gold"]) + 30)
    record["solution"] = f"<answer>{', '.join(slot['gold'] for slot in slots)}</answer>"


def the_largest(records):
    record = first(records, format="comparative")
    slot = record["remot"]["slots"][0]
    slot["gold"] = other(slot["gold"], "ABC")
    record["solution"] = f"<answer>{slot['gold']}</answer>"


def said(record):
    return record["messages"][0]


def the_options(records):
    message = said(first(records, format="multiple_choice", attribute="camera_yaw"))
    message["content"] = message["content"].replace("left", "LEFT").replace("right", "left").replace("LEFT", "right")


def the_question(records):
    message = said(first(records, format="multiple_choice", attribute="camera_yaw"))
    message["content"] = "What did the gripper of the left arm do?\n" + message["content"].split("\n", 1)[1]


def one_line_more(records):
    message = said(first(records, format="fill_in"))
    message["content"] = message["content"].replace("\n", "\nHint: it is the first.\n", 1)


def words_before_a_line(records):
    message = said(first(records, format="multiple_choice", attribute="camera_yaw"))
    message["content"] = message["content"].replace("\nsecond, ", "\nNot this: second, ")


def the_last_line(records):
    message = said(records[0])
    message["content"] = message["content"].rsplit("\n", 1)[0] + "\nAnswer A."


def swapped_images(records):
    images = records[0]["images"]
    images[0], images[1] = images[1], images[0]


def a_frame(records):
    frame = first(records, negative="retrieval", attribute="camera_pitch")["remot"]["frames"][0]
    frame["index"] = (frame["index"] + 1) % 24


def a_time(records):
    records[0]["remot"]["frames"][2]["pts_seconds"] += 0.05


def a_warp(records):
    frames = first(records, negative="rotated_view")["remot"]["frames"]
    frames[2]["transform"]["matrix"][2] += 3


def no_warp(records):
    first(records, negative="mirror")["remot"]["frames"][2]["transform"] = None


def no_warp_anywhere(records):
    """Under the names of plain images, which exist or do not."""
    record = first(records, negative="mirror")
    for place, frame in enumerate(record["remot"]["frames"]):
        frame["transform"] = None
        record["images"][place] = image_name(record["remot"]["clip"], frame["index"], None, "")


def a_mask(records):
    first(records, attribute="mask_frame")["remot"]["frames"][2]["transform"] = None


def the_negative(records):
    first(records, negative="mirror")["remot"]["negative"] = "magic"


def the_scene(records):
    records[0]["remot"]["scene"] = "elsewhere"


def the_domain(records):
    records[0]["remot"]["domain"] = "elsewhere"


def the_split(records):
    """A prompt about a training scene among the test prompts."""
    next(one for one in records if one["remot"]["split"] == "train")["remot"]["split"] = "test"


CHANGES = {
    a_label: "labels are wrong",
    a_label_and_its_answer: "labels are wrong",
    a_size: "labels are wrong",
    a_subject: "labels are wrong",
    an_unknown_subject: "labels are wrong",
    a_letter: "letters are wrong",
    a_claim: "letters are wrong",
    a_number: "letters are wrong",
    the_largest: "letters are wrong",
    the_options: "letters are wrong",
    the_question: "the text does not begin with a question about camera_yaw",
    one_line_more: "the text has other lines",
    words_before_a_line: "letters are wrong",
    the_last_line: "the text has other lines",
    swapped_images: "are not named after their frames",
    a_frame: "facts are wrong",
    a_time: "is not at",
    a_warp: "are not named after their frames",
    no_warp: "are not named after their frames",
    a_mask: "labels are wrong",
    the_negative: "the negative magic is none of",
    the_scene: "scene elsewhere",
    the_domain: "domain elsewhere",
    the_split: "scenes are in two splits",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_is_found(folder, data, change):
    """Even where the manifest vouches for it."""
    records = lines_of(folder)
    before = json.dumps(records)
    change(records)
    assert json.dumps(records) != before
    write_lines(folder, records)
    assert CHANGES[change] in "; ".join(audit(folder, data).faults)


def test_another_frame_under_its_own_name_is_found(folder, data):
    """Its image may even be there; the labels are those of another one."""
    records = lines_of(folder)
    record = first(records, negative="retrieval", attribute="camera_pitch")
    frame = record["remot"]["frames"][0]
    frame["index"] = (frame["index"] + 7) % 24
    frame["pts_seconds"] = frame["index"] / 10
    name = image_name(record["remot"]["clip"], frame["index"], None, "")
    shutil.copy(folder / record["images"][0], folder / name)
    record["images"][0] = name
    write_lines(folder, records)
    assert "labels are wrong" in "; ".join(audit(folder, data).faults)


def test_a_change_of_the_frames_and_their_names_is_found(folder, data):
    records = lines_of(folder)
    no_warp_anywhere(records)
    write_lines(folder, records)
    try:
        faults = audit(folder, data).faults
    except DecodeError as error:
        faults = [str(error)]
    assert faults


def moves_first(record):
    """Whether the camera moves between the first two images, so that they differ."""
    label = record["remot"]["labels"][0]
    return label["attribute"].startswith("camera") and label["value"] != "none"


def test_swapped_files_are_found(folder, data):
    moved = [one for one in lines_of(folder) if one["remot"]["negative"] == "retrieval" and moves_first(one)]
    one, two = (folder / name for name in moved[0]["images"][:2])
    assert one.read_bytes() != two.read_bytes()
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    assert "is not frame" in "; ".join(audit(folder, data).faults)


def test_a_single_changed_pixel_is_found(folder, data):
    file = folder / lines_of(folder)[0]["images"][1]
    with Image.open(file) as image:
        pixels = np.array(image)
    pixels[3, 4, 1] ^= 1
    Image.fromarray(pixels).save(file)
    found = audit(folder, data)
    assert found.images
    assert all(file.name in fault for fault in found.images)
    assert found.record()["wrong_images"] == len(found.images)


@pytest.mark.parametrize("content", [None, b"", b"\x89PNG\r\n\x1a\n broken"])
def test_an_image_that_cannot_be_read_is_reported(folder, data, content):
    file = folder / lines_of(folder)[0]["images"][0]
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(DecodeError, match=file.name):
        audit(folder, data)


def test_a_repeated_prompt_is_reported(folder, data):
    records = lines_of(folder)
    write_lines(folder, [*records, records[3]])
    with pytest.raises(AnnotationError, match=f"line {NUM_PROMPTS + 1} has the id of line 4, "):
        audit(folder, data)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda record: record["remot"].update(clip="unknown"),
            "clip unknown or one of its frames is not in the source",
        ),
        (lambda record: record["remot"]["frames"][1].update(index=24), "one of its frames is not in the source"),
        (
            lambda record: record["remot"]["frames"][1].update(transform={"kind": "mask", "subject": "ghost"}),
            "has no object 'ghost' to show the mask of",
        ),
    ],
)
def test_what_is_not_in_the_source_is_reported(folder, data, change, sentence):
    records = lines_of(folder)
    change(records[0])
    write_lines(folder, records)
    with pytest.raises(AnnotationError, match=sentence):
        audit(folder, data)


def test_an_empty_file_is_reported(folder, data):
    write_lines(folder, [])
    with pytest.raises(AnnotationError, match="holds no prompt, build it again"):
        audit(folder, data)


@pytest.mark.slow
def test_other_thresholds_make_other_labels_wrong(right, rich):
    """The audit takes the limits of the settings it is given."""
    strict = {"class_path": "remot.data.experts.CameraYaw", "init_args": {"salient_min": 29.0}}
    stricter = VARIED | {"experts": [strict, *VARIED["experts"][1:]]}
    found = audit(right, data_from(section_of(rich, **stricter)))
    assert {one.attribute for one in found.labels[0].wrong} == {"camera_yaw"}


def test_records_instead_of_clips_are_refused(right, rich):
    data = data_from(section_of(rich, records=str(right)))
    with pytest.raises(ConfigError, match="holds finished prompts and no clips"):
        audit_built(right, data)


def test_lines_of_a_folder_are_written_as_they_were_read(right):
    for record in lines_of(right):
        assert json.loads(to_line(from_record("", record))) == record
    assert json.loads((right / MANIFEST).read_text())["format"] == "remot-prompts/2"
