"""Training from finished prompts: the same questions and images as in the file, in an order that can be resumed."""

import json
import shutil

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from remot.data.datasets.recorded import RecordDataset
from remot.data.records.parsing import from_record
from remot.data.records.reading import RecordSettings, find_below, read_recorded
from remot.datatools.build.prompts import build
from remot.errors import AnnotationError, ConfigError, DecodeError, EmptySplitError, RemotError
from tests.data.made import data_module
from tests.data.records.test_released import line, there_and_back
from tests.datatools.builds import SMALL, VARIED, built, lines_of, plain_root, section_of, varied_root, write_lines


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return varied_root(tmp_path_factory.mktemp("clips") / "clips")


@pytest.fixture(scope="module")
def made(root, tmp_path_factory):
    return built(root, tmp_path_factory.mktemp("built") / "out", 30, **VARIED)[0]


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def module(records, **settings):
    data = data_module(records=records, **(SMALL | settings))
    data.setup()
    return data


def ids_of(loader):
    return [question.prompt_id for batch in loader for question in batch.questions]


def of_split(folder, split):
    return [one["id"] for one in lines_of(folder) if one["remot"]["split"] == split]


# -- built folders -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["folder", "file", "file without a manifest"])
def test_samples_are_what_the_file_says(folder, place):
    if place == "file without a manifest":
        (folder / "manifest.json").unlink()
    data = module(folder if place == "folder" else folder / "prompts.jsonl")
    records = {one["id"]: one for one in lines_of(folder)}
    for split, dataset in data.recorded.items():
        for address in range(len(dataset)):
            sample = dataset[address]
            record = records[sample.question.prompt_id]
            assert record["remot"]["split"] == split
            assert sample.question == from_record("", record).question
            assert sample.clip_id == record["remot"]["clip"]
            assert len(sample.images) == len(record["images"])


def test_samples_are_those_of_the_clips(made, root):
    """Texts, answers and images, without reading a clip."""
    from remot.commands.data.sources import data_from

    clips = data_from(section_of(root, **VARIED))
    clips.setup()
    data = module(made)
    assert data.mixed == {}
    for address in range(3):
        sample, wanted = data.recorded["val"][address], clips.mixed["val"][address]
        assert sample.question == wanted.question
        assert all(torch.equal(one, other) for one, other in zip(sample.images, wanted.images, strict=True))


def test_an_epoch_holds_every_training_prompt_once_in_an_order_of_its_own(made):
    train = module(made, seed=4).recorded["train"]
    wanted, count = sorted(of_split(made, "train")), len(train)
    epochs = [[train.question(epoch * count + k).prompt_id for k in range(count)] for epoch in range(3)]
    assert sorted(epochs[0]) == wanted
    assert sorted(name.removesuffix("#1") for name in epochs[1]) == wanted
    assert all(name.endswith("#2") for name in epochs[2])
    assert len({name for epoch in epochs for name in epoch}) == 3 * count
    orders = [[name.partition("#")[0] for name in epoch] for epoch in epochs]
    assert orders[0] != orders[1] != orders[2] != wanted
    again = module(made, seed=4).recorded["train"]
    assert [again.question(2 * count + k).prompt_id for k in range(count)] == epochs[2]
    other = module(made, seed=5).recorded["train"]
    assert [other.question(k).prompt_id for k in range(count)] != epochs[0]


def test_held_out_prompts_are_the_first_of_the_file_in_its_order(made):
    data = module(made, num_test_prompts=3, num_val_prompts=1000)
    assert ids_of(data.val_dataloader()) == of_split(made, "val")
    assert ids_of(data.test_dataloader()) == of_split(made, "test")[:3] == ids_of(data.predict_dataloader())
    assert ids_of(module(made, num_test_prompts=3, seed=9).test_dataloader()) == of_split(made, "test")[:3]


def test_prompts_are_drawn_again_under_names_of_their_own(made):
    """For ``grpo.dynamic_sampling``: training prompts, a function of step and attempt, in an order of their own.

    Names address the rollout noise: a prompt that the loader gives at this step, too, must not be answered alike.
    """
    data, again = module(made), module(made)
    size, wanted = SMALL["batch_size"], set(of_split(made, "train"))
    drawn = [data.redraw(step, attempt, size) for step in range(3) for attempt in (1, 2)]
    names = [question.prompt_id for batch in drawn for question in batch.questions]
    assert len(set(names)) == len(names) == 6 * size
    assert all(name.startswith("redrawn/") for name in names)
    bare = [name.removeprefix("redrawn/").partition("#")[0] for name in names]
    assert set(bare) <= wanted
    assert bare != [data.recorded["train"].question(k).prompt_id.partition("#")[0] for k in range(len(bare))]
    assert [q.prompt_id for q in again.redraw(2, 1, size).questions] == names[4 * size : 5 * size]
    assert all(not q.prompt_id.startswith("redrawn/") for b in data.train_dataloader() for q in b.questions)


def test_batches_do_not_depend_on_workers(made):
    plain = ids_of(module(made).train_dataloader())
    assert len(plain) == SMALL["num_train_prompts_per_epoch"]
    assert ids_of(module(made, num_workers=2).train_dataloader()) == plain


class Recorder(LightningModule):
    """Notes the prompts it is given."""

    def __init__(self, stop_after=None, path=None):
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen, self.stop_after, self.path = [], stop_after, path

    def training_step(self, batch):
        if len(self.seen) == self.stop_after:
            self.trainer.save_checkpoint(self.path)
            raise InterruptedError
        self.seen.append([question.prompt_id for question in batch.questions])
        self.optimizers().step()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(model, data, checkpoint=None):
    trainer = Trainer(
        max_epochs=7, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=0, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(model, data, ckpt_path=checkpoint, weights_only=True)
    return model.seen


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_sees_what_it_would_have_seen(made, tmp_path):
    """Stopped in the middle of an epoch; the records are gone through more than once."""
    settings = {"num_train_prompts_per_epoch": 6, "num_val_prompts": 1}
    whole = fit(Recorder(), data_module(records=made, **(SMALL | settings)))
    assert len(whole) == 21
    assert any("#1" in name for batch in whole for name in batch)
    first = Recorder(stop_after=10, path=tmp_path / "x.ckpt")
    with pytest.raises(InterruptedError):
        fit(first, data_module(records=made, **(SMALL | settings)))
    rest = fit(Recorder(), data_module(records=made, **(SMALL | settings)), tmp_path / "x.ckpt")
    assert first.seen + rest == whole


def test_splits_that_are_wanted_must_be_there(folder):
    records = [one for one in lines_of(folder) if one["remot"]["split"] != "val"]
    write_lines(folder, records)
    with pytest.raises(EmptySplitError, match=r"val split; .*data\.val_fraction"):
        module(folder, require_splits=True)
    assert set(module(folder).recorded) == {"train", "test"}
    assert module(folder).val_dataloader() == []
    assert set(module(folder, require_splits=True, val_fraction=0.0).recorded) == {"train", "test"}
    assert set(module(folder, test_fraction=0.0).recorded) == {"train"}


def test_nothing_to_train_on(folder):
    write_lines(folder, [one for one in lines_of(folder) if one["remot"]["split"] != "train"])
    with pytest.raises(EmptySplitError, match="holds no prompt to train on"):
        module(folder)
    with pytest.raises(EmptySplitError, match=r"val split .*holds no prompt"):
        RecordDataset([], "val")


def test_text_without_images(folder):
    prompts = read_recorded(folder)["train"]
    shutil.rmtree(folder / "frames")
    with pytest.raises(DecodeError, match=r"line \d+: .*'frames/.*' is not"):
        read_recorded(folder)
    sample = RecordDataset(prompts, "train", with_images=False)[0]
    assert (sample.images, sample.question) == ([], prompts[0].question)


def test_an_image_that_goes_missing_later_is_reported(folder):
    dataset = module(folder).recorded["test"]
    dataset.prompts[1].image_files[2].write_bytes(b"broken")
    dataset[0]
    with pytest.raises(DecodeError, match=r"line \d+: .*\.png: .*decoded"):
        dataset[1]


@pytest.mark.parametrize(
    ("change", "kind", "sentence"),
    [
        (lambda one: one["images"].__setitem__(0, "../x.png"), AnnotationError, "line 2: the image '../x.png' leads"),
        (lambda one: one["images"].__setitem__(0, "/etc/passwd"), AnnotationError, "line 2: .* leads outside"),
        (lambda one: one["images"].__setitem__(0, "frames/0.png"), DecodeError, "line 2: .* is not in"),
        (lambda one: one.update(id="train/0/0"), AnnotationError, "line 2: the id 'train/0/0' is taken by line 1"),
        (lambda one: one.update(solution="<answer>Z</answer>"), AnnotationError, "line 2: the solution"),
        (lambda one: one.pop("remot"), AnnotationError, "line 2: key 'remot' is missing"),
    ],
)
def test_a_bad_line_stops_the_run_before_it_starts(folder, change, kind, sentence):
    records = lines_of(folder)
    change(records[1])
    write_lines(folder, records)
    with pytest.raises(kind, match=sentence):
        module(folder)


def test_changed_prompts_are_refused(folder):
    write_lines(folder, lines_of(folder)[1:], seal=False)
    with pytest.raises(AnnotationError, match="manifest"):
        module(folder)


def test_what_is_not_there_is_reported(tmp_path):
    for path in (tmp_path / "gone", tmp_path):
        with pytest.raises(ConfigError, match=r"does not exist; give a folder|holds no prompts\.jsonl"):
            module(path)
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(RemotError, match="holds no prompt"):
        module(tmp_path / "empty.jsonl")


def test_nothing_is_built_or_audited_from_records(made, tmp_path):
    from remot.datatools.audit import audit_data

    data = data_module(records=made, **SMALL)
    with pytest.raises(ConfigError, match="finished prompts and no clips"):
        build(data, tmp_path / "out", 10, {})
    with pytest.raises(ConfigError, match="remot data audit DIR"):
        audit_data(data)


def test_images_elsewhere(folder, tmp_path):
    shutil.move(folder / "frames", tmp_path / "pictures" / "frames")
    with pytest.raises(DecodeError, match="is not in"):
        module(folder)
    assert module(folder, images_root=tmp_path / "pictures").recorded["val"][0].images


# -- published files -----------------------------------------------------------------------------------------------


@pytest.fixture
def published(tmp_path):
    """Twenty prompts, their images below another folder than the one they were published from."""
    from PIL import Image

    records = [there_and_back(number) for number in range(20)]
    folder = tmp_path / "mine" / "frames"
    folder.mkdir(parents=True)
    for record in records:
        for image in record["images"]:
            number = int(image[-9:-6]) + 100 * int(image[-5])
            Image.new("RGB", (4, 4), (number % 256, number // 256, 7)).save(folder / image.rpartition("/")[2])
    (tmp_path / "agibot_test.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return tmp_path / "agibot_test.jsonl"


def test_a_published_file_is_divided_by_prompts(published):
    data = module(published, images_root=published.parent / "mine", val_fraction=0.1, test_fraction=0.25)
    parts = {name: {prompt.question.prompt_id for prompt in one.prompts} for name, one in data.recorded.items()}
    assert {name: len(part) for name, part in parts.items()} == {"train": 13, "val": 2, "test": 4}
    assert not parts["train"] & (parts["val"] | parts["test"])
    settings = RecordSettings(published.parent / "mine", fractions={"val": 0.1, "test": 0.25})
    whole = read_recorded(published, settings)
    assert sum(map(len, whole.values())) == 20
    assert {name: len(part) for name, part in whole.items()} == {"train": 13, "val": 2, "test": 5}
    lines = [int(prompt.where.rpartition(" ")[2]) for prompt in whole["train"]]
    assert lines == sorted(lines)
    other = read_recorded(
        published, RecordSettings(published.parent / "mine", fractions={"val": 0.1, "test": 0.25}, seed=1)
    )
    assert other["train"] != whole["train"]
    assert read_recorded(published, RecordSettings(published.parent / "mine"))["train"][0].question.prompt_id == "p0"


def test_images_of_a_published_file_are_those_of_the_line(published):
    for root in (published.parent / "mine", published.parent / "mine" / "frames"):
        dataset = module(published, images_root=root, val_fraction=0.0, test_fraction=0.0).recorded["train"]
        assert len(dataset) == 20
        for address in range(20):
            sample = dataset[address]
            number = int(sample.question.prompt_id[1:])
            colours = [tuple(image[:, 0, 0].tolist()) for image in sample.images]
            assert colours == [((number + 100 * k) % 256, (number + 100 * k) // 256, 7) for k in range(3)]


def test_the_longest_end_that_exists_counts(tmp_path):
    for place in ("a/b/c.png", "b/c.png", "c.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    assert find_below("", "/x/a/b/c.png", tmp_path) == tmp_path / "a/b/c.png"
    assert find_below("", "/x/y/b/c.png", tmp_path) == tmp_path / "b/c.png"
    assert find_below("", "/x/y/z/c.png", tmp_path) == tmp_path / "c.png"
    assert find_below("", "a/b/c.png", tmp_path) == tmp_path / "a/b/c.png"


@pytest.mark.parametrize("path", ["/x/../../c.png", "..", "a/../../../etc/passwd", "a\0b"])
def test_paths_upwards_are_refused(tmp_path, path):
    (tmp_path / "c.png").touch()
    with pytest.raises(AnnotationError, match=r"line 1: .* leads outside"):
        find_below("line 1", path, tmp_path)


@pytest.mark.parametrize("path", ["/x/y.png", "/", "/a/link.png", "x" * 3000, "/a/folder"])
def test_paths_that_lead_nowhere_are_reported(tmp_path, path):
    (tmp_path / "folder").mkdir()
    outside = tmp_path.parent / f"{tmp_path.name}-outside.png"
    outside.touch()
    (tmp_path / "link.png").symlink_to(outside)
    with pytest.raises(DecodeError, match=r"line 1: .*images_root"):
        find_below("line 1", path, tmp_path)


def test_prompts_that_cannot_be_judged_are_left_out_with_a_warning(published):
    word = line(99, ("Opened",) * 3, solution="<answer>YES</answer>")
    word["messages"][0]["content"] = "Is the gripper open?"
    published.write_text(published.read_text() + json.dumps(word) + "\n")
    with pytest.warns(UserWarning, match="1 prompts .*left out, 20"):
        splits = read_recorded(published, RecordSettings(published.parent / "mine"))
    assert len(splits["train"]) == 20


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (-0.1, 0.1), (0.0, 1.0)])
def test_fractions_that_leave_nothing_are_refused(published, fractions):
    with pytest.raises(ConfigError, match="sum to less than 1"):
        module(published, images_root=published.parent / "mine", val_fraction=fractions[0], test_fraction=fractions[1])


def test_repeated_names_are_reported(published):
    text = published.read_text()
    published.write_text(text + text.split("\n", 1)[0] + "\n")
    with pytest.raises(AnnotationError, match="line 21: the id 'p0' is taken by line 1"):
        read_recorded(published, RecordSettings(published.parent / "mine"))


def test_batches_hold_tensors(tmp_path):
    folder, _ = built(plain_root(tmp_path / "clips"), tmp_path / "out", 20)
    batch = next(iter(module(folder).train_dataloader()))
    assert len(batch) == 2
    assert all(image.dtype == torch.uint8 and image.shape == (3, 32, 32) for images in batch.images for image in images)
