"""A wrong type is refused where it is passed, with what to pass."""

import pytest

import remot
import remot.structures
from remot.errors import ArgumentTypeError, require_type, require_types
from remot.rewards import CompositeReward, FormatReward

LABEL = remot.structures.MotionLabel((1, 2), "camera_yaw", "left", 20.0, "degrees", "")


def question(**changed):
    slots = (remot.Slot(LABEL, ("left", "right"), "A"),)
    return remot.Question(**{"prompt_id": "p", "text": "?", "slots": slots, "domain": "d", "scene_id": "s"} | changed)


@pytest.mark.parametrize(
    ("make", "name", "passed"),
    [
        (lambda: remot.PostTrainingModule(strategy="GRPO"), "strategy", "GRPO(…)"),
        (lambda: remot.PostTrainingModule(strategy=remot.GRPO), "strategy", "GRPO(…)"),
        (lambda: remot.PostTrainingModule(strategy=remot.GRPOObjective()), "strategy", "class Strategy"),
        (lambda: remot.PostTrainingModule(policy=remot.LoRA()), "policy", "class PolicySettings"),
        (lambda: remot.PostTrainingModule(grpo=remot.GRPO()), "grpo", "class GRPOObjective"),
        (lambda: remot.MotionDataModule(tasks=remot.MotionContrast), "tasks", "list or tuple"),
        (lambda: remot.MotionDataModule(tasks=remot.MotionContrast()), "tasks", "list or tuple"),
        (lambda: remot.MotionDataModule(tasks=[remot.MotionContrast]), "tasks[0]", "MotionContrast(…)"),
        (lambda: remot.MotionDataModule(tasks=["MotionContrast"]), "tasks[0]", "MotionContrast(…)"),
        (lambda: remot.MotionDataModule(reader="NativeReader"), "reader", "NativeReader(…)"),
        (lambda: remot.MotionDataModule(options={"seed": 1}), "options", "class DataOptions"),
        (lambda: remot.Slot(LABEL, "left", "A"), "options", "class str"),
        (lambda: remot.Slot(LABEL, ("left", "right"), ["A"]), "gold", "class str"),
        (lambda: question(slots="A"), "slots", "class Slot"),
        (lambda: question(slots=["A", "B"]), "slots[0]", "class Slot"),
        (lambda: question(text=["?"]), "text", "class str"),
        (lambda: FormatReward()(["<answer>A</answer>"], ["A"]), "questions[0]", "class Question"),
        (lambda: FormatReward()(["<answer>A</answer>"], "A"), "questions", "class Question"),
        (lambda: CompositeReward([FormatReward()], [1.0])("A", [question()]), "completions", "class str"),
    ],
)
def test_a_wrong_type_is_refused(make, name, passed):
    with pytest.raises(ArgumentTypeError) as refused:
        make()
    assert isinstance(refused.value, TypeError)
    assert str(refused.value).startswith(f"{name} is ")
    assert passed in str(refused.value)


def test_the_right_types_pass():
    require_type("strategy", remot.GRPO(), remot.Strategy)
    require_types("options", ["a"], str)
    require_types("options", (), str)
    assert question().solution == "A"
    assert remot.MotionDataModule(tasks=[remot.MotionContrast()]).tasks[0].name
