"""Datasets and data modules in one line, from settings by their own names."""

from dataclasses import fields

from remot.data.datamodule import DataOptions, MotionDataModule
from remot.data.datasets.prompts import TaskDataset
from remot.data.experts import default_experts
from remot.data.questions.writer import QuestionWriter
from remot.data.tasks import MotionContrast
from remot.data.tasks.motion_contrast import Sampling
from remot.data.tasks.motion_contrast.sampler import TripletSampler
from remot.structures import Question, Triplet

TASK_SETTINGS = (
    "experts",
    "negatives",
    "formats",
    "binary",
    "num_wordings",
    "option_order",
    "wordings",
    "balance_by",
    "thinks",
    "as_pairs",
    "image_changes",
)
SAMPLING_SETTINGS = tuple(field.name for field in fields(Sampling))
OPTIONS = tuple(field.name for field in fields(DataOptions))


def data_module(root=None, reader=None, **settings):
    """A data module; settings of triplets and options are given by their own names."""
    task = {name: settings.pop(name) for name in TASK_SETTINGS if name in settings}
    sampling = {name: settings.pop(name) for name in SAMPLING_SETTINGS if name in settings}
    options = {name: settings.pop(name) for name in OPTIONS if name in settings}
    if task or sampling:
        settings["tasks"] = [MotionContrast(**task, sampling=Sampling(**sampling))]
    return MotionDataModule(root, reader, options=DataOptions(**options), **settings)


def section(root=None, **settings):
    """The same as the data section of a configuration."""
    task = {name: settings.pop(name) for name in TASK_SETTINGS if name in settings}
    sampling = {name: settings.pop(name) for name in SAMPLING_SETTINGS if name in settings}
    options = {name: settings.pop(name) for name in OPTIONS if name in settings}
    if task or sampling:
        init = task | ({"sampling": sampling} if sampling else {})
        settings["tasks"] = [{"class_path": "MotionContrast", "init_args": init}]
    held = {"root": None if root is None else str(root), "options": options, **settings}
    return {name: value for name, value in held.items() if value not in (None, {})}


def contrast(sampler=None, writer=None, balance_by="attribute"):
    """Motion contrast with a sampler and a writer that are made already."""
    task = MotionContrast(balance_by=balance_by)
    task.sampler = sampler or TripletSampler(default_experts())
    task.writer = writer or QuestionWriter()
    return task


def task_prompts(task, clips, split="train", num_prompts=16, seed=0, task_index=0):
    """Prompts of one task about clips."""
    surveys = [() if task.serves(clip) else None for clip in clips]
    return TaskDataset(task, clips, surveys, split, num_prompts, seed, task_index)


def triplet_prompts(clips, sampler=None, writer=None, split="train", num_prompts=16, seed=0, balance_by="attribute"):
    """Motion-contrast prompts about clips, media or none."""
    task = contrast(sampler, writer, balance_by)
    askables = [task.sampler.candidates(clip) for clip in clips]
    surveys = [task.survey_of(found) for found in askables]
    return TaskDataset(task, clips, surveys, split, num_prompts, seed)


def triplet_at(dataset, address):
    """The triplet behind a prompt."""
    return triplet_of(*dataset.plan(address))


def triplet_of(clip, plan):
    """The triplet that a plan asks about."""
    return Triplet(clip, plan.frame_indices, plan.labels, plan.negative, plan.frame_transforms)


def question_at(dataset, address, image_size=(1, 1)):
    """A question without decoding anything."""
    return dataset.question(address, *dataset.plan(address), image_size)


def write(writer, triplet, prompt_id, image_size, generator, values=None, wish=None):
    """A question about a triplet as the task writes it."""
    form, written = writer.write(triplet, generator, values, wish)
    return Question(
        prompt_id=prompt_id,
        text="\n".join(written.lines),
        slots=written.slots,
        domain=triplet.clip.domain,
        scene_id=triplet.clip.scene_id,
        reasoning=writer.reasoning(triplet, written.slots, image_size),
        format=form.name,
    )
