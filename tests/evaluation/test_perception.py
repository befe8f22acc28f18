"""Held-out questions asked twice: which frames the first answer requests, what is shown then, and both scores."""

import math
from dataclasses import asdict, replace

import pytest
import torch
from hypothesis import given, settings

from remot.data.tasks import EventChoice, FrameSampling, GroundedEventChoice
from remot.errors import ConfigError
from remot.evaluation.benchmark import BenchmarkScores, EvaluationSettings, answer_batch, run_benchmark
from remot.evaluation.pages import sample_records
from remot.evaluation.perception import IterativePerception, stretches_in
from remot.evaluation.report import as_metrics
from remot.evaluation.scores import PERCEPTION_METRICS, JudgedCompletion, score_table
from remot.evaluation.viewer import completions_html
from remot.rewards import CompositeReward, ExactAnswerReward, IntervalSetReward, PerTaskReward
from remot.rollout import sources
from remot.rollout.sampling import GREEDY, SamplingSettings
from remot.strategies import SFT
from remot.structures import Event, Rollout
from tests.data.handmade import clip_of, write_folder
from tests.data.made import data_module
from tests.helpers import assert_close, hostile_text
from tests.strategies.test_module import make_trainer, ready_module

SAMPLED = SamplingSettings()
REWARD = PerTaskReward(
    {
        "grounded_qa": CompositeReward([ExactAnswerReward(), IntervalSetReward()], [1.0, 1.0]),
        "multiple_choice": ExactAnswerReward(),
    }
)
#: Five frames of 2 s; then four of 0.5 to 1.0 s, or of 1.4 to 1.8 s, and the middle one of the others.
FIRST_TIMES, DOOR_TIMES, LAMP_TIMES = (0, 0.5, 1, 1.5, 2), (0.5, 0.7, 0.8, 1, 1.3), (0.7, 1.4, 1.5, 1.7, 1.8)
DOOR, LAMP = "<glue>[(0.50, 1.00)]</glue>", "<glue>[(1.40, 1.80)]</glue>"
WRONG = "<answer>G</answer>"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four held-out questions about which of two events comes first: the door, from 0.5 to 1.0 s."""
    events = (Event("a door opens", 0.5, 1.0), Event("a lamp goes on", 1.4, 1.8))
    clips = [clip_of(21, f"c{k}", f"s{k}", events=events) for k in range(10)]
    task = GroundedEventChoice(FrameSampling(5), kinds=("first",))
    sizes = {"num_train_prompts_per_epoch": 4, "num_val_prompts": 4, "num_test_prompts": 4, "batch_size": 4}
    root = str(write_folder(tmp_path_factory.mktemp("clips"), clips))
    data = data_module(root, tasks=[task], **sizes)
    data.setup()
    return data


@pytest.fixture
def batch(data):
    (batch,) = data.test_dataloader()
    return batch


def right(question):
    return f"<answer>{question.reference.answer}</answer>"


class Scripted:
    """A policy that says what ``script`` tells of a question, the number of the perception and of the completion."""

    def __init__(self, script):
        self.script, self.asked = script, []

    def process(self, batch):
        return batch

    encode = process


def scripted_generate(policy, batch, request, _):
    """What ``generate`` would return; keeps the names of the noise and the times shown."""
    times = [tuple(round(time, 6) for time in videos[0].pts_seconds) for videos in batch.videos]
    num_completions, address = request.num_completions, request.address
    policy.asked.append((address.prompt_ids, times))
    texts = []
    for question, name in zip(batch.questions, address.prompt_ids, strict=True):
        perception, _, sample = name.partition("/perception ")[2].partition("/")
        samples = [int(sample)] if perception else range(num_completions)
        texts.append([policy.script(question, int(perception or 1), sample) for sample in samples])
    shape = len(batch), num_completions, 3
    mask = torch.ones(shape, dtype=torch.bool)
    return Rollout(torch.zeros(shape, dtype=torch.long), mask, torch.zeros(shape), texts, mask[..., 0])


@pytest.fixture
def answer(monkeypatch, data, batch):
    """Asks a script, and gives what came of it and the policy."""
    monkeypatch.setattr(sources, "generate", scripted_generate)

    def run(script, sampling=SAMPLED, num_completions=1, resampler=data.resampler, **perception):
        how = EvaluationSettings(
            num_completions=num_completions, reward=REWARD, perception=IterativePerception(**perception)
        )
        policy = Scripted(script)
        return answer_batch(policy, batch, how, sampling, resample=resampler), policy

    return run


def half_told(question, perception, sample):
    """The first of two completions says when it happened and is wrong, then right; the second one's glue is broken."""
    if sample:
        return f"{WRONG}<glue>[(0.50, 1.00</glue>"
    return (WRONG if perception == 1 else right(question)) + DOOR


# -- asking again --------------------------------------------------------------------------------------------------


def test_the_second_perception_is_where_the_first_answer_says(answer):
    answered, policy = answer(half_told, num_completions=2)
    (_, first), (names, second) = policy.asked
    assert first == [FIRST_TIMES] * 4
    assert second == [DOOR_TIMES] * 4
    assert names == tuple(f"test/0/{k}/perception 2/0" for k in range(4))
    assert_close([one.total for one in answered.judged], [2, 0] * 4)
    assert_close([one.first_total for one in answered.judged], [1, 0] * 4)
    assert [one.num_perceptions for one in answered.judged] == [2, 1] * 4
    assert [one.first_completion for one in answered.judged][:2] == [WRONG + DOOR, f"{WRONG}<glue>[(0.50, 1.00</glue>"]
    assert [one.prompt_id for one in answered.judged][::2] == [f"test/0/{k}" for k in range(4)]
    assert set(answered.shown) == {0, 2, 4, 6}


def test_scores_of_both_answers_are_reported(answer):
    """Half of the completions are asked again: 0.5 for half of the stretch, then 2, so that these win 1.5."""

    def script(question, perception, sample):
        half_stretch = f"{WRONG}<glue>[(0.50, 0.75)]</glue>"
        return half_stretch if (perception, sample) == (1, 0) else half_told(question, perception, sample)

    answered, _ = answer(script, num_completions=2)
    means = as_metrics(score_table(answered.judged), "val")
    key = "val/task/grounded_qa/"
    wanted = {"total": 1, "success": 0.5, "first_total": 0.25, "first_success": 0, "asked_again": 0.5, "gain": 0.75}
    assert {name: means[key + name] for name in wanted} == pytest.approx(wanted)
    assert set(PERCEPTION_METRICS) < set(wanted)


def test_completions_that_cannot_be_asked_again_count_nowhere(answer):
    """Two tasks of one name, of which only one requests frames: the scores are those of its completions."""
    judged = answer(half_told)[0].judged
    silent = [replace(one, first_total=math.nan, first_success=math.nan, num_perceptions=1) for one in judged]
    means = as_metrics(score_table([*judged, *silent]), "val")
    assert means["val/task/grounded_qa/asked_again"] == means["val/task/grounded_qa/gain"] == 1


def test_no_more_prompts_at_once_than_in_the_first_perception(answer):
    _, policy = answer(lambda *_: WRONG + DOOR, num_completions=3)
    assert [len(names) for names, _ in policy.asked] == [4, 4, 4, 4]
    later = [name for names, _ in policy.asked[1:] for name in names]
    assert later == [f"test/0/{k}/perception 2/{sample}" for k in range(4) for sample in range(3)]


def test_greedy_answers_are_asked_again_too(answer):
    answered, policy = answer(half_told, sampling=GREEDY, num_completions=2)
    assert [len(names) for names, _ in policy.asked] == [4, 4]
    assert [one.num_perceptions for one in answered.judged] == [2] * 4


def test_a_third_perception_follows_the_second_answer(answer):
    """The second answer names the lamp: of frames 14 to 18 the places 0 1 3 4, and frame 7 of the others."""

    def script(question, perception, sample):  # noqa: ARG001
        return WRONG + {1: DOOR, 2: LAMP, 3: ""}[perception]

    answered, policy = answer(script, num_perceptions=4)
    assert [times[0] for _, times in policy.asked] == [FIRST_TIMES, DOOR_TIMES, LAMP_TIMES]
    assert {one.num_perceptions for one in answered.judged} == {3}
    assert {one.completion for one in answered.judged} == {WRONG}
    assert {one.first_completion for one in answered.judged} == {WRONG + DOOR}


@pytest.mark.parametrize(
    "glue",
    [
        "",
        "<glue></glue>",
        "<glue>[]</glue>",
        "<glue>[(0.5, 1.0]]</glue>",
        "<glue>[(1.0, 0.5)]</glue>",
        "<glue>1.0 to 0.5</glue>",
        "<glue>[(NaN, 1)]</glue>",
        "<glue>[(7.0, 9.0)]</glue>",
        "<glue>__import__('os').abort()</glue>",
        "<glue>[(0, 0.1), (0.2, 0.3), (0.4, 0.5), (0.6, 0.7)]</glue>",
        "<think><glue>[(0.5, 1.0)]</think>",
        "<glue>" + "[" * 100_000,
    ],
)
def test_an_empty_glue_keeps_the_first_frames(answer, glue):
    answered, policy = answer(lambda *_: WRONG + glue)
    assert len(policy.asked) == 1
    assert answered.shown == {}
    assert [one.num_perceptions for one in answered.judged] == [1] * 4
    assert all(one.first_total == one.total for one in answered.judged)


@pytest.mark.parametrize(
    "glue", ["[(0.50, 1.00)]", "0.5 to 1", "[[0.7, 1.0], [0.5, 0.8]]", "from 1 to 2, no: 0.5 and 1.0"]
)
def test_what_can_be_read_is_followed(answer, glue):
    _, policy = answer(lambda *_: f"{WRONG}<glue>{glue}</glue>")
    assert policy.asked[1][1] == [DOOR_TIMES] * 4


def test_settings_reach_the_frames(answer):
    """Two of five inside, 5 and 10; of the other 15 frames places 0 7 14, which are 0 13 20. Up to four stretches."""
    _, policy = answer(lambda *_: WRONG + DOOR, dense_share=0.4)
    assert policy.asked[1][1][0] == (0, 0.5, 1, 1.3, 2)
    four = "<glue>[(0.5, 0.6), (0.6, 0.7), (0.7, 0.8), (0.8, 1)]</glue>"
    assert len(answer(lambda *_: WRONG + four, max_stretches=4)[1].asked) == 2


def test_one_perception_is_the_first_perception(answer):
    answered, policy = answer(half_told, num_perceptions=1)
    assert len(policy.asked) == 1
    assert [one.num_perceptions for one in answered.judged] == [1] * 4


def test_no_resampling_metrics_without_perception(monkeypatch, data, batch):
    monkeypatch.setattr(sources, "generate", scripted_generate)
    plain = answer_batch(
        Scripted(half_told), batch, EvaluationSettings(reward=REWARD), SAMPLED, resample=data.resampler
    )
    assert all(math.isnan(one.first_total) and one.first_completion == "" for one in plain.judged)
    assert set(as_metrics(score_table(plain.judged), "val")) == {
        *("val/cut_off", "val/task/grounded_qa/total", "val/task/grounded_qa/success", "val/task/success")
    }


def test_tasks_whose_frames_stay_are_asked_once(monkeypatch, data):
    """Multiple choice names no stretches, whatever stands in its answer; and alone it is an error."""
    monkeypatch.setattr(sources, "generate", scripted_generate)
    choices = data_module(data.root, tasks=[EventChoice(FrameSampling(5))], batch_size=4, num_test_prompts=4)
    choices.setup()
    (batch,) = choices.test_dataloader()
    how = EvaluationSettings(reward=REWARD, perception=IterativePerception())
    policy = Scripted(half_told)
    answered = answer_batch(policy, batch, how, SAMPLED, resample=data.resampler)
    assert len(policy.asked) == 1
    assert all(math.isnan(one.first_success) for one in answered.judged)
    with pytest.raises(ConfigError, match=r"data\.tasks"):
        answer_batch(policy, batch, how, SAMPLED, resample=choices.resampler)


@pytest.mark.parametrize(
    "broken", [{"num_perceptions": 0}, {"max_stretches": 0}, {"dense_share": 0.0}, {"dense_share": 1.5}]
)
def test_settings_are_checked(broken):
    with pytest.raises(ConfigError, match=r"num_perceptions.*max_stretches"):
        IterativePerception(**broken)


@given(text=hostile_text)
@settings(deadline=None, database=None, derandomize=True, max_examples=300)
def test_hostile_answers_never_raise(text):
    for completion in (text, f"<glue>{text}</glue>", f"<glue>[({text}, {text})]</glue>"):
        stretches = stretches_in(completion, "glue", 3)
        assert stretches is None or len(stretches) <= 3
        request = IterativePerception().request(completion, "glue")
        assert (request is None) == (not stretches)


def test_a_stretch_that_ends_before_it_starts_is_none():
    assert stretches_in("<glue>1.0 to 0.5</glue>", "glue", 3) is None
    assert stretches_in("<glue>0.5 to 1.0</glue>", "glue", 3) == [(0.5, 1.0)]
    assert stretches_in("<answer>0.5 to 1.0</answer>", "glue", 3) is None


@pytest.mark.parametrize(
    ("start", "stretches"), [("-0.5", [(-0.5, 1.0)]), ("0.5", [(0.5, 1.0)]), ("1.5", None), ("nan", None)]
)
def test_json_is_read_as_temporal_rlt_writes_it(start, stretches):
    text = f'<answer>{{"start_time": "{start}", "end_time": "1.0"}}</answer>'
    assert stretches_in(text, "answer", 3) == stretches


# -- what is left of it --------------------------------------------------------------------------------------------


def test_the_benchmark_asks_again_in_both_ways_of_decoding(monkeypatch, data, batch):
    monkeypatch.setattr(sources, "generate", scripted_generate)
    how = EvaluationSettings(reward=REWARD, perception=IterativePerception())
    policy, seen = Scripted(half_told), []
    scores = run_benchmark(policy, [batch], how, lambda *both: seen.append(both), resample=data.resampler)
    assert len(policy.asked) == 4
    for table in (scores.sampled, scores.greedy):
        assert table.estimates()["task/grounded_qa/gain"].mean == 1
    again = BenchmarkScores.from_record(scores.as_record())
    assert again.sampled.estimates()["task/grounded_qa/asked_again"].mean == 1
    ((_, answered),) = seen
    assert len(answered.shown) == 4


def test_records_of_older_checkpoints_can_be_read(answer):
    new = {"num_perceptions", "first_completion", "first_total", "first_success"}
    one = answer(half_told)[0].judged[0]
    old = JudgedCompletion(**{key: value for key, value in asdict(one).items() if key not in new})
    assert (old.num_perceptions, old.first_completion) == (1, "")


def test_pages_show_the_last_frames_beside_their_answer(answer, batch):
    answered, _ = answer(half_told, num_completions=2)
    records = sample_records(batch, answered)
    assert [record.question.prompt_id for record in records][:2] == ["test/0/0", "test/0/0, perception 2"]
    assert [len(record.completions) for record in records] == [1, 2] * 4
    once, again = records[:2]
    assert once.videos[0].pts_seconds == pytest.approx(FIRST_TIMES)
    assert again.videos[0].pts_seconds == pytest.approx(DOOR_TIMES)
    assert again.completions == [right(batch.questions[0]) + DOOR, WRONG + DOOR]
    assert again.rewards == [{"total": 2.0, "exact": 1.0, "interval_iou": 1.0}, {"first total": 1.0}]
    page = completions_html(records, "t")
    assert page.count("0.70 s</figcaption>") == 4
    assert "first total 1" in page


def test_pages_without_a_second_perception_are_as_before(answer, batch):
    answered, _ = answer(lambda *_: WRONG, num_completions=2)
    records = sample_records(batch, answered)
    assert [record.completions for record in records] == [[WRONG, WRONG]] * 4
    assert [record.question for record in records] == list(batch.questions)


@pytest.mark.filterwarnings("ignore:You are using a custom batch sampler")  # which the command line does not show
def test_validation_asks_a_real_policy_again(data, tmp_path, monkeypatch):
    """Random weights, whose tokens are taken for an answer about the door; the rest is as in ``remot validate``."""
    module = ready_module(SFT())
    monkeypatch.setattr(module.policy.texts, "responses", lambda ids: [WRONG + DOOR] * len(ids))
    shown = []
    process = module.policy.process
    monkeypatch.setattr(module.policy, "process", lambda batch: shown.append(batch) or process(batch))
    module.evaluation = EvaluationSettings(max_new_tokens=3, reward=REWARD, perception=IterativePerception())
    trainer = make_trainer(tmp_path, limit_val_batches=1.0)
    (told,) = trainer.validate(module, data, verbose=False)
    assert told["val/task/grounded_qa/asked_again"] == 1
    assert told["val/task/grounded_qa/first_total"] == told["val/task/grounded_qa/total"] == 1
    times = [[videos[0].pts_seconds for videos in batch.videos] for batch in shown]
    assert times[1] == [pytest.approx(DOOR_TIMES)] * 4
    predicted = trainer.predict(module, data)
    assert {one["num_perceptions"] for one in predicted[0]} == {2}
