"""Asking a policy held-out questions and judging what it says."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Literal

from remot.distributed import all_gather_objects, interleave
from remot.environments import TurnSettings
from remot.errors import ConfigError
from remot.evaluation.perception import IterativePerception, Resampler, resample_frames
from remot.evaluation.scores import JudgedCompletion, ScoreTable, judge, score_table
from remot.evaluation.task_scores import with_rewards
from remot.models.inputs.prompts import EncodedPrompts
from remot.models.policy import VLMPolicy
from remot.rewards import Reward
from remot.rollout.decoding.engine import RolloutEngine
from remot.rollout.sampling import GREEDY, RolloutAddress, RolloutRequest, SamplingSettings, require_lengths
from remot.rollout.sources import ClipSource, PolicyRollouts, RolloutSource, SampledPrompts
from remot.rollout.turns import ConversationRollouts
from remot.structures import PromptBatch, Rollout

#: Settings of ``generate`` that are not supported, and the values at which they do nothing.
NEUTRAL = {
    "num_beams": 1,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "no_repeat_ngram_size": 0,
    "penalty_alpha": None,
    "top_h": None,
}
#: Optimiser step that names the noise of an evaluation, so that it never coincides with a training step's.
EVALUATION_STEP = -1


@dataclass(frozen=True)
class EvaluationSettings:
    """How held-out questions are answered.

    Args:
        sampling: How completions are drawn.
        generation: ``sampling`` draws as the key above says, ``model`` as the model's own ``generation_config.json``,
            as the public ReMoT evaluation does; see :meth:`drawn_by`.
        max_new_tokens: Longest completion, end of turn included.
        num_completions: Completions sampled for each prompt; more narrow the interval, not the question.
        seed: Names the noise; the same for every run, so that runs differ in their weights only.
        reward: What answers to tasks are scored with; what GRPO is rewarded with if None.
        perception: Show clips again where the answer says that it is seen, and score what is said then; None to
            show them once.
        turns: An environment that replies to completions, and its bounds; what GRPO has if None.
    """

    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    max_new_tokens: int = 64
    num_completions: int = 1
    seed: int = 0
    reward: Reward | None = None
    perception: IterativePerception | None = None
    generation: Literal["sampling", "model"] = "sampling"
    turns: TurnSettings | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1 or self.num_completions < 1:
            given = f"{self.max_new_tokens} and {self.num_completions}"
            msg = f"model.evaluation: max_new_tokens and num_completions are at least 1, got {given}"
            raise ConfigError(msg)
        require_lengths("model.evaluation", self.num_completions, self.max_new_tokens)
        if self.perception is not None and self.turns is not None:
            msg = "model.evaluation: perception and turns both show clips again; leave one out"
            raise ConfigError(msg)
        if self.generation == "model" and self.sampling != SamplingSettings():
            msg = "model.evaluation: generation: model takes the model's own settings; leave sampling out"
            raise ConfigError(msg)

    @property
    def rollouts(self) -> RolloutSource:
        """Where completions come from."""
        return PolicyRollouts() if self.turns is None else ConversationRollouts(self.turns)

    def drawn_by(self, policy: VLMPolicy) -> SamplingSettings:
        """How completions of ``policy`` are drawn: as the settings say, or as transformers' ``generate`` would.

        Raises:
            ConfigError: If the model asks for something that this library does not draw with.
        """
        return self.sampling if self.generation == "sampling" else model_sampling(policy.generation_settings)

    def request(self, sampling: SamplingSettings, names: tuple[str, ...]) -> RolloutRequest:
        """Completions of prompts with these names: one of each if they are drawn greedily."""
        num_completions = 1 if sampling.is_greedy else self.num_completions
        address = RolloutAddress(self.seed, EVALUATION_STEP, names)
        return RolloutRequest(num_completions, self.max_new_tokens, sampling, address)


def model_sampling(own: Mapping[str, Any]) -> SamplingSettings:
    """A model's own generation settings, greedy unless it samples; 50 best tokens unless it says how many.

    Both defaults are those of transformers' ``GenerationConfig``.

    Args:
        own: The settings that the model has, by transformers' names; other values are None or missing.

    Raises:
        ConfigError: If a setting of :data:`NEUTRAL` is another, or a number is out of range.
    """
    changed = {name: own[name] for name, value in NEUTRAL.items() if own.get(name) not in (None, value)}
    if changed:
        named = ", ".join(f"{name} {value}" for name, value in changed.items())
        msg = f"model.evaluation.generation: generation_config.json sets {named}, unsupported; choose sampling"
        raise ConfigError(msg)
    if not own.get("do_sample"):
        return GREEDY
    defaults = {"temperature": 1.0, "top_k": 50, "top_p": 1.0, "min_p": 0.0}
    known = {name: own[name] if own.get(name) is not None else value for name, value in defaults.items()}
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in known.values()):
        msg = f"model.evaluation.generation: the model's generation_config.json has {known}, expected numbers"
        raise ConfigError(msg)
    return SamplingSettings(
        float(known["temperature"]), int(known["top_k"]), float(known["top_p"]), float(known["min_p"])
    )


@dataclass(frozen=True, eq=False)
class AnsweredBatch:
    """A batch's completions and their scores.

    Args:
        rollout: The completions of the first perception.
        judged: P x G scored completions, of the last perception.
        shown: By number of the completion what it was shown last, where that is not the batch's prompt.
    """

    rollout: Rollout
    judged: list[JudgedCompletion]
    shown: Mapping[int, PromptBatch] = field(default_factory=dict)


#: From prompts, what is sampled, and the same prompts encoded, if they are, to the answers and the encoded prompts.
_Ask = Callable[[PromptBatch, RolloutRequest, EncodedPrompts | None], tuple[AnsweredBatch, EncodedPrompts]]


def answer_batch(
    policy: VLMPolicy,
    batch: PromptBatch,
    settings: EvaluationSettings,
    sampling: SamplingSettings,
    engine: RolloutEngine | None = None,
    resample: Resampler | None = None,
    clips: ClipSource | None = None,
) -> AnsweredBatch:
    """Answer P prompts in one way; see :func:`answer_in_ways`."""
    return answer_in_ways(policy, batch, settings, (sampling,), engine, resample, clips)[0]


def answer_in_ways(
    policy: VLMPolicy,
    batch: PromptBatch,
    settings: EvaluationSettings,
    ways: Sequence[SamplingSettings],
    engine: RolloutEngine | None = None,
    resample: Resampler | None = None,
    clips: ClipSource | None = None,
) -> list[AnsweredBatch]:
    """Answer P prompts in each of several ways; they are processed and encoded once for all of these.

    Ways that are equal, as where a model's own generation is greedy, are answered once.

    Greedy decoding answers each prompt once. The engine changes speed and memory, no answer. Of conversations the last
    turn is judged.

    Raises:
        ConfigError: If prompts are to be shown again and there is nothing that can.
    """
    perception = settings.perception
    if perception is not None and resample is None:
        msg = (
            "model.evaluation.perception shows clips again, but no task of data.tasks has answers that name "
            "stretches of time; add one such as TemporalGrounding or GroundedEventChoice, or leave perception out"
        )
        raise ConfigError(msg)

    def ask(
        prompts: PromptBatch, request: RolloutRequest, encoded: EncodedPrompts | None
    ) -> tuple[AnsweredBatch, EncodedPrompts]:
        sampled = settings.rollouts.sample(policy, prompts, request, clips or (lambda _: None), engine, encoded)
        return AnsweredBatch(sampled.rollout, _judged(sampled, prompts, settings.reward)), sampled.encoded

    names = tuple(question.prompt_id for question in batch.questions)
    requests = {sampling: settings.request(sampling, names) for sampling in ways}  # equal ways once
    answered = _first_answers(ask, batch, list(requests.values()))
    if perception is not None and resample is not None:
        again = partial(_asked_again, ask, batch, perception, resample)
        answered = [again(first, request) for first, request in zip(answered, requests.values(), strict=True)]
    by_way = dict(zip(requests, answered, strict=True))
    return [by_way[sampling] for sampling in ways]


def _first_answers(ask: _Ask, batch: PromptBatch, requests: Sequence[RolloutRequest]) -> list[AnsweredBatch]:
    """Answers to the batch as each request wants them; its encoded prompts are gone when this returns."""
    answered: list[AnsweredBatch] = []
    encoded = None
    for request in requests:
        first, encoded = ask(batch, request, encoded)
        answered.append(first)
    return answered


def _asked_again(
    ask: _Ask,
    batch: PromptBatch,
    perception: IterativePerception,
    resample: Resampler,
    first: AnsweredBatch,
    request: RolloutRequest,
) -> AnsweredBatch:
    """The last answers to a batch, where clips are shown again."""

    def ask_once(prompts: PromptBatch, names: tuple[str, ...]) -> Sequence[JudgedCompletion]:
        address = replace(request.address, prompt_ids=names)
        return ask(prompts, replace(request, num_completions=1, address=address), None)[0].judged

    last = resample_frames(first.judged, batch.questions, perception, resample, ask_once)
    return AnsweredBatch(first.rollout, last.judged, last.shown)


def _judged(sampled: SampledPrompts, prompts: PromptBatch, reward: Reward | None) -> list[JudgedCompletion]:
    """All P x G completions of a rollout, scored by the question of each."""
    rollout, conversations = sampled.rollout, sampled.conversations
    num_completions = rollout.token_ids.shape[1]
    questions = conversations.questions([one for one in prompts.questions for _ in range(num_completions)])
    completions = zip(
        [text for group in conversations.answers for text in group],
        questions,
        rollout.num_tokens.flatten().tolist(),
        rollout.finished.flatten().tolist(),
        strict=True,
    )
    judged = [
        judge(text, question, num_tokens=length, cut_off=not ended) for text, question, length, ended in completions
    ]
    return with_rewards(judged, questions, reward)


@dataclass(frozen=True, eq=False)
class BenchmarkScores:
    """What one policy said on one split.

    Args:
        judged: The completions decoded as the settings say.
        judged_greedy: The completions decoded greedily.
    """

    judged: Sequence[JudgedCompletion]
    judged_greedy: Sequence[JudgedCompletion]

    @cached_property
    def sampled(self) -> ScoreTable:
        """Scores decoded as the settings say."""
        return score_table(self.judged)

    @cached_property
    def greedy(self) -> ScoreTable:
        """Scores decoded greedily."""
        return score_table(self.judged_greedy)

    def as_record(self) -> dict[str, list[dict[str, object]]]:
        """Plain containers, for a checkpoint."""
        return {
            "judged": [asdict(one) for one in self.judged],
            "judged_greedy": [asdict(one) for one in self.judged_greedy],
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Iterable[Mapping[str, Any]]]) -> "BenchmarkScores":
        """The scores that :meth:`as_record` wrote."""
        judged, greedy = ([JudgedCompletion(**one) for one in record[key]] for key in ("judged", "judged_greedy"))
        return cls(judged, greedy)


def run_benchmark(
    policy: VLMPolicy,
    batches: Iterable[PromptBatch],
    settings: EvaluationSettings,
    on_batch: Callable[[PromptBatch, AnsweredBatch], None] | None = None,
    engine: RolloutEngine | None = None,
    resample: Resampler | None = None,
    clips: ClipSource | None = None,
) -> BenchmarkScores:
    """Answer every prompt by sampling and greedily.

    Each of several processes answers its own batches, and all get the answers to all, in the order of one process.

    Args:
        policy: The model to evaluate.
        batches: The held-out prompts.
        settings: How to decode.
        on_batch: Called after each batch with its sampled answers, for progress and for pages to look at.
        engine: What decodes; with default settings if None.
        resample: Shows prompts again, where ``settings.perception`` wants that.
        clips: Frames of the clips of prompts, for ``settings.turns``.
    """
    ways = settings.drawn_by(policy), GREEDY
    sampled: list[Sequence[JudgedCompletion]] = []
    greedy: list[Sequence[JudgedCompletion]] = []
    for batch in batches:
        answered, best = answer_in_ways(policy, batch, settings, ways, engine, resample, clips)
        sampled.append(answered.judged)
        greedy.append(best.judged)
        if on_batch is not None:
            on_batch(batch, answered)
    return BenchmarkScores(judged_by_all(sampled), judged_by_all(greedy))


def judged_by_all(batches: Sequence[Sequence[JudgedCompletion]]) -> list[JudgedCompletion]:
    """The completions of every process's batches, as one process would have judged them; all must call it."""
    return [one for batch in interleave(all_gather_objects(batches)) for one in batch]
