"""Conversations of a policy with an environment, turn by turn.

Each turn is a prompt and a completion of its own: the conversation so far is the prompt of the next turn, so what an
environment says is part of prompts and carries no loss. The first prompt is shared by all completions of a group.

Notation: P prompts, G completions, T_k columns of turn k, T their sum.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from remot.environments import Episode, Reply, TurnSettings
from remot.errors import ConfigError, require_types
from remot.models.inputs.conversations import continued, joined_rows
from remot.models.inputs.prompts import EncodedPrompts
from remot.models.policy import VLMPolicy
from remot.rollout.decoding.engine import RolloutEngine, generate
from remot.rollout.sampling import RolloutAddress, RolloutRequest
from remot.rollout.sources import ClipSource, Conversations, LaterTurn, Place, RolloutSource, SampledPrompts, encode
from remot.structures import ClipFrames, PromptBatch, Question, Rollout, Turn

#: Counts of what the bounds have left out: images, and replies that would have made the conversation too long.
BOUND_COUNTERS = ("images_left_out", "too_long")


@dataclass(frozen=True, eq=False)
class DemonstratedTurn:
    """A turn to learn."""

    prompt_id: str
    prompt: EncodedPrompts  # the conversation up to it, one row
    response: str


@dataclass(eq=False)
class _Open:
    """A conversation while it goes on."""

    place: Place
    question: Question
    images: list[Tensor]
    clip: ClipFrames | None
    prompt: EncodedPrompts  # of its last turn
    completion: list[int] = field(default_factory=list)  # of its last turn
    response: str = ""
    finished: bool = False  # by itself, not cut off
    turns: list[Turn] = field(default_factory=list)


def with_instructions(batch: PromptBatch, settings: TurnSettings, clips: ClipSource) -> PromptBatch:
    """The prompts with the environment's instructions behind their questions."""
    questions = []
    for images, question in zip(batch.images, batch.questions, strict=True):
        words = settings.environment.instructions(_before(question, images, settings, clips))
        questions.append(replace(question, text=question.text + words))
    return PromptBatch(batch.images, questions, batch.clip_ids, batch.videos, batch.replaced)


def _before(question: Question, images: Sequence[Tensor], settings: TurnSettings, clips: ClipSource) -> Episode:
    """A conversation before its first turn."""
    return Episode(
        question,
        images=images,
        clip=clips(question.prompt_id),
        turns_left=settings.max_turns,
        images_left=settings.max_images,
    )


@dataclass(frozen=True)
class ConversationRollouts(RolloutSource):
    """Samples conversations of the policy with an environment.

    A response that was cut off, or to which the environment does not reply, is the last one of its conversation. The
    noise of later turns is named by prompt, completion and turn.

    Args:
        settings: The environment and the bounds.
    """

    settings: TurnSettings

    def sample(
        self,
        policy: VLMPolicy,
        batch: PromptBatch,
        request: RolloutRequest,
        clips: ClipSource,
        engine: RolloutEngine | None = None,
        encoded: EncodedPrompts | None = None,
    ) -> SampledPrompts:
        """Converse about P prompts, G times each; ``max_new_tokens`` is that of one turn.

        Tokens [P, G, T] are those of all turns one after another, with gaps in the mask, and texts are transcripts.
        """
        batch = with_instructions(batch, self.settings, clips)
        encoded = encode(policy, batch) if encoded is None else encoded
        first = generate(policy, encoded, request, engine)
        groups = _groups(batch, encoded, request.num_completions, clips)
        opened = [one for group in groups for one in group]
        _take_turn(opened, first)
        counts = Counter(dict.fromkeys((*BOUND_COUNTERS, *self.settings.environment.counters), 0))
        rollouts, later = [first], []
        for number in range(2, self.settings.max_turns + 1):
            finished = [one for one in opened if one.finished]
            opened = _with_replies(policy, finished, self.settings, request.address, counts)
            if not opened:
                break
            turn = _next_turn(policy, opened, number, request, engine)
            start = sum(one.token_ids.shape[-1] for one in rollouts)
            columns = slice(start, start + turn.token_ids.shape[-1])
            later.append(LaterTurn({one.place: one.prompt for one in opened}, columns))
            rollouts.append(_spread(turn, [one.place for one in opened], first, policy.pad_token_id))
        conversations = Conversations(
            num_first=first.token_ids.shape[-1],
            later=later,
            turns={one.place: one.turns for group in groups for one in group},
            answers=[[self.settings.environment.answer(one.response) for one in group] for group in groups],
            counts=counts,
        )
        return SampledPrompts(encoded, _concatenated(rollouts, groups), conversations)


def _groups(batch: PromptBatch, encoded: EncodedPrompts, num_completions: int, clips: ClipSource) -> list[list[_Open]]:
    """G conversations before their first turn for each of P prompts."""
    groups = []
    for row, (images, question) in enumerate(zip(batch.images, batch.questions, strict=True)):
        clip, prompt = clips(question.prompt_id), encoded.select(slice(row, row + 1))
        groups.append([_Open((row, sample), question, list(images), clip, prompt) for sample in range(num_completions)])
    return groups


def _next_turn(
    policy: VLMPolicy, opened: Sequence[_Open], number: int, request: RolloutRequest, engine: RolloutEngine | None
) -> Rollout:
    """The next response [N, 1, T_k] of each of N conversations."""
    names = tuple(f"{one.question.prompt_id}/turn {number}/{one.place[1]}" for one in opened)
    address = RolloutAddress(request.address.seed, request.address.step, names)
    prompts = joined_rows([one.prompt for one in opened], policy.pad_token_id)
    turn = generate(policy, prompts, replace(request, num_completions=1, address=address), engine)
    _take_turn(opened, turn)
    return turn


def demonstrated(
    policy: VLMPolicy, batch: PromptBatch, settings: TurnSettings, clips: ClipSource, address: RolloutAddress
) -> list[DemonstratedTurn]:
    """The turns of the environment's demonstrations for P prompts: all first turns, all second ones, and so on.

    Args:
        policy: What is to learn them.
        batch: P prompts without instructions.
        settings: The environment and the bounds.
        clips: Frames of the clips.
        address: Names the randomness of replies.

    Raises:
        ConfigError: If the environment does not reply to its own demonstration.
    """
    shown = with_instructions(batch, settings, clips)
    encoded = encode(policy, shown)
    opened = [one for group in _groups(shown, encoded, 1, clips) for one in group]
    scripts = {
        (row, 0): settings.environment.demonstrate(_before(question, batch.images[row], settings, clips))
        for row, question in enumerate(batch.questions)
    }
    spoken = []
    for number in range(max(map(len, scripts.values()), default=0)):
        for one in opened:
            one.response = scripts[one.place][number]
            one.completion = policy.texts.tokens_of_response(one.response)[0]
            spoken.append(DemonstratedTurn(one.question.prompt_id, one.prompt, one.response))
        wanted = [one for one in opened if len(scripts[one.place]) > number + 1]
        opened = _with_replies(policy, wanted, settings, address, Counter())
        if len(opened) < len(wanted):
            name, prompt_id = type(settings.environment).__name__, batch.questions[wanted[0].place[0]].prompt_id
            msg = f"{name} ends its own demonstration for a prompt such as {prompt_id}: raise turns.max_prompt_tokens"
            raise ConfigError(msg)
    return spoken


def transcript(turns: Sequence[Turn], response: str) -> str:
    """A conversation as one text; what the environment said is in square brackets."""
    shown = {0: "", 1: "1 image. "}
    parts = [
        f"{turn.response}\n[{shown.get(turn.num_images, f'{turn.num_images} images. ')}{turn.reply}]\n"
        for turn in turns
    ]
    return "".join([*parts, response])


def _take_turn(opened: Sequence[_Open], turn: Rollout) -> None:
    """Note what each conversation has said in ``turn``, whose completions are in the same order."""
    said = zip(
        turn.token_ids.flatten(0, 1).tolist(),
        turn.num_tokens.flatten().tolist(),
        turn.finished.flatten().tolist(),
        [text for group in turn.texts for text in group],
        strict=True,
    )
    for one, (token_ids, length, finished, text) in zip(opened, said, strict=True):
        one.completion, one.finished, one.response = token_ids[:length], finished, text


def _with_replies(
    policy: VLMPolicy,
    opened: Sequence[_Open],
    settings: TurnSettings,
    address: RolloutAddress,
    counts: Counter[str],
) -> list[_Open]:
    """The conversations that go on, with the reply to their last turn in their prompt."""
    replies = [(one, reply) for one in opened if (reply := _reply(one, settings, address, counts)) is not None]
    if not replies:
        return []
    said = PromptBatch(
        images=[reply.images for _, reply in replies],
        questions=[replace(one.question, text=reply.text) for one, reply in replies],
        clip_ids=["" for _ in replies],
    )
    with torch.no_grad():
        encoded = policy.encode(policy.process_replies(said))
    going_on = []
    for row, (one, reply) in enumerate(replies):
        part = encoded.select(slice(row, row + 1))
        prompt = continued(one.prompt, one.completion, part, policy.eos_token_ids)
        if prompt.prompts.input_ids.shape[1] > settings.max_prompt_tokens:
            counts["too_long"] += 1
            continue
        one.turns.append(Turn(one.response, reply.text, len(reply.images), reply.is_refused))
        one.images += reply.images
        one.prompt = prompt
        going_on.append(one)
    return going_on


def _reply(one: _Open, settings: TurnSettings, address: RolloutAddress, counts: Counter[str]) -> Reply | None:
    """What the environment replies, within the bounds of the conversation."""
    number = len(one.turns) + 1
    images_left = settings.max_images - sum(turn.num_images for turn in one.turns)
    episode = Episode(
        question=one.question,
        response=one.response,
        turns=tuple(one.turns),
        images=tuple(one.images),
        clip=one.clip,
        turns_left=settings.max_turns - number,
        images_left=images_left,
        seed=address.seed,
        completion=one.place[1],
        address=(address.step, one.question.prompt_id, one.place[1], number),
    )
    reply = settings.environment.respond(episode)
    if reply is None:
        return None
    _require_images(reply.images, type(settings.environment).__name__)
    counts.update(reply.counts)
    if (surplus := len(reply.images) - images_left) > 0:
        counts["images_left_out"] += surplus
    images = list(reply.images[:images_left])
    return replace(reply, text=reply.text[: settings.max_reply_characters], images=images)


def _require_images(images: Sequence[Tensor], name: str) -> None:
    require_types(f"images of a reply of {name}", images, Tensor)
    for image in images:
        if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3 or not all(image.shape):
            msg = f"{name} replied with an image {image.dtype} {tuple(image.shape)}, expected uint8 [3, H, W]"
            raise ConfigError(msg)


def _spread(turn: Rollout, places: Sequence[Place], like: Rollout, pad_token_id: int) -> Rollout:
    """A turn [N, 1, T_k] of some completions as one [P, G, T_k] of all, without tokens for the others."""
    rows, columns = (torch.tensor(part, device=turn.token_ids.device) for part in zip(*places, strict=True))
    shape = (*like.finished.shape, turn.token_ids.shape[-1])

    def spread(values: Tensor, padding: float) -> Tensor:
        return values.new_full(shape, padding).index_put((rows, columns), values[:, 0])

    return Rollout(
        token_ids=spread(turn.token_ids, pad_token_id),
        completion_mask=spread(turn.completion_mask, 0),
        logprobs=spread(turn.logprobs, 0.0),
        texts=like.texts,
        finished=like.finished,
    )


def _concatenated(rollouts: Sequence[Rollout], groups: Sequence[Sequence[_Open]]) -> Rollout:
    """Turns of P x G completions one after another along time."""
    finished = [[one.finished for one in group] for group in groups]
    return Rollout(
        token_ids=torch.cat([one.token_ids for one in rollouts], dim=-1),
        completion_mask=torch.cat([one.completion_mask for one in rollouts], dim=-1),
        logprobs=torch.cat([one.logprobs for one in rollouts], dim=-1),
        texts=[[transcript(one.turns, one.response) for one in group] for group in groups],
        finished=torch.tensor(finished, device=rollouts[0].finished.device),
    )
