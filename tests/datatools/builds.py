"""Folders of built prompts, and changes to them."""

import json
from pathlib import Path

from scipy.spatial.transform import Rotation

from remot.commands.data.sources import data_from
from remot.data.annotations.native.reader import write_annotation
from remot.data.records.folder import MANIFEST, RECORDS
from remot.datatools.build.prompts import build
from remot.files import sha256_of
from tests.data.handmade import mixed_clips, write_folder
from tests.data.made import section
from tests.data.worlds import all_experts, moving_camera, photograph, tabletop, with_images

#: Small numbers for every test; a split may stay empty.
SMALL = {
    "num_val_prompts": 4,
    "num_test_prompts": 4,
    "num_train_prompts_per_epoch": 8,
    "batch_size": 2,
    "require_splits": False,
}
#: Settings under which transforms, masks, claims, numbers and comparisons occur.
VARIED = {
    "experts": [f"remot.data.experts.{type(expert).__name__}" for expert in all_experts()],
    "negatives": [
        f"remot.data.negatives.{name}" for name in ("Retrieval", "TimeReversal", "Mirror", "RotatedView", "ShiftedCrop")
    ],
    "formats": [
        f"remot.data.questions.formats.{name}" for name in ("MultipleChoice", "TrueFalse", "FillIn", "Comparative")
    ],
}


def plain_root(folder, num_scenes=5):
    """Clips of a camera and of an arm, with images of 32 x 32."""
    return write_folder(folder, mixed_clips(num_scenes))


def varied_root(folder, num_scenes=3):
    """Clips that every expert and every negative can be used on, with images in files.

    Each clip looks at the world from another side, so that no two share an image.
    """
    folder.mkdir(parents=True)
    for number in range(num_scenes):
        for kind, clip in enumerate((moving_camera(f"camera-{number}"), tabletop(f"table-{number}"))):
            side = Rotation.from_euler("yx", [50 * (2 * number + kind), 9 * number], degrees=True).as_matrix()
            images = [photograph(side @ pose[:3, :3]) for pose in clip.camera.camera_to_world]
            shown = with_images(clip, folder / "media", images)
            write_annotation(shown, folder, source="test", licence="Apache-2.0")
    return folder


def section_of(root, **settings):
    """A data section; settings of triplets and options are given by their own names."""
    return section(root, **(SMALL | settings))


def built(root, out, num_triplets=20, **settings):
    """A folder of prompts and its manifest."""
    section = section_of(root, **settings)
    return out, build(data_from(section), out, num_triplets, section)


def lines_of(folder):
    """The records."""
    return [json.loads(line) for line in (folder / RECORDS).read_text("utf-8").split("\n") if line]


def write_lines(folder, records, *, seal=True):
    """Other records, with a manifest that vouches for them unless ``seal`` is false."""
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    (folder / RECORDS).write_text(text, "utf-8")
    if seal:
        seal_folder(folder)


def seal_folder(folder):
    """Make the manifest vouch for the prompts as they are."""
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    manifest["sha256"][RECORDS] = sha256_of(folder / RECORDS)
    (folder / MANIFEST).write_text(json.dumps(manifest), "utf-8")


def images_of(folder):
    """Paths below a folder of built prompts."""
    return {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*.png")}
