"""Videos go the model's own way in every pass, times included, and none is lost on it."""

from dataclasses import replace

import pytest
import torch

from remot.errors import ConfigError
from remot.models import ModelSource, VLMPolicy
from remot.models.inputs.processing import in_prompt_order
from remot.models.inputs.prompts import EncodedPrompts, VisualInputs
from remot.models.inputs.timestamps import video_metadata, whole_patches
from remot.models.packing.forward import run_rows
from remot.structures import PromptBatch, Video
from tests.helpers import assert_close
from tests.models.test_parity import (
    KINDS,
    LOGPROB_TOLERANCE,
    assert_same_gradients,
    gradients_of,
    largest_gap,
    naive_batch,
    naive_inputs,
    naive_logits,
    weights_like,
)
from tests.rollout.decoding.test_engine import roll_out, talkative
from tests.tiny import (
    FAMILIES,
    encode,
    make_batch,
    make_mixed_batch,
    make_policy,
    make_video,
    model_folder,
    random_completions,
    select,
)


def ask(*videos, images=(), row=0):
    """One prompt about videos."""
    batch = make_batch(row + 1)
    return PromptBatch([list(images)], [batch.questions[row]], ["clip"], [list(videos)])


def prompt_text(policy, batch, row=0):
    prompts = policy.process(batch)
    return policy.processor.tokenizer.decode(prompts.input_ids[row, : prompts.prompt_lengths[row]])


def scores(policy, batch, completions):
    with torch.no_grad():
        return policy.completion_logprobs(encode(policy, batch), completions)


# -- the same as transformers alone --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "family", ["qwen3_vl", *(pytest.param(one, marks=pytest.mark.slow) for one in FAMILIES if one != "qwen3_vl")]
)
@pytest.mark.parametrize(
    ("kind", "checkpointing"), [*((kind, False) for kind in KINDS), ("lora with vision", True)], ids=str
)
def test_packed_pass_equals_one_row_at_a_time(family, kind, checkpointing):
    """Log-probabilities and the gradient of every trainable parameter: images, videos, both, and neither."""
    policy, batch = KINDS[kind](family, gradient_checkpointing=checkpointing), make_mixed_batch()
    completions, mask = random_completions(policy, 4, 2, 6)
    packed = policy.completion_logprobs(encode(policy, batch), completions)[mask]
    weights = weights_like(packed)
    actual = gradients_of(policy, (packed * weights).sum())
    naive = naive_batch(policy.core, policy, batch, completions, mask)
    expected = gradients_of(policy, (naive * weights).sum())
    assert largest_gap(packed, naive) < LOGPROB_TOLERANCE
    assert_same_gradients(actual, expected)
    assert all(bool(gradient.any()) for gradient in expected.values()), "no gradient proves nothing"


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_of_the_prompt_are_those_of_the_whole_model(family):
    """All columns of all prompts at once: embeddings, positions and DeepStack features are where they belong."""
    policy, batch = make_policy(family), make_mixed_batch()
    encoded = encode(policy, batch)
    prompts = encoded.prompts
    with torch.no_grad():
        settings = {"position_ids": prompts.position_ids, "use_cache": False}
        output = run_rows(policy.core, prompts.input_ids, prompts.visual_mask, encoded.features, **settings)
        ours = policy.core.lm_head(output.last_hidden_state)
        for row, (images, question, videos) in enumerate(zip(batch.images, batch.questions, batch.videos, strict=True)):
            theirs = naive_logits(policy.core, naive_inputs(policy, images, question, videos))
            assert int(prompts.prompt_lengths[row]) == len(theirs)
            assert largest_gap(ours[row, : len(theirs)], theirs) < 1e-4 * float(theirs.abs().max())


def test_a_completion_follows_the_text_even_if_the_video_reaches_further():
    """Two minutes, two positions a second, and a short question: transformers' own pass goes on from the text."""
    policy, batch = make_policy("qwen2_5_vl"), ask(make_video(4, tenths=(0, 400, 800, 1200)), row=1)
    prompts = policy.process(batch)
    assert int(prompts.position_ids.max()) > int(prompts.next_position[0]) + 50
    completions, mask = random_completions(policy, 1, 2, 5)
    with torch.no_grad():
        ours = policy.completion_logprobs(policy.encode(prompts), completions)[mask]
        theirs = naive_batch(policy.core, policy, batch, completions, mask)
    assert largest_gap(ours, theirs) < LOGPROB_TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_reference_sees_the_video_too(family):
    policy, batch = make_policy(family), make_mixed_batch()
    completions, mask = random_completions(policy, 4, 2, 5)
    encoded = encode(policy, batch)
    with torch.no_grad():
        ours = policy.completion_logprobs(encoded, completions, use_reference=True)[mask]
        theirs = naive_batch(policy.reference, policy, batch, completions, mask)
    assert largest_gap(ours, theirs) < LOGPROB_TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rows", [slice(0, 1), slice(1, 3), slice(2, 4), slice(3, 4)])
def test_part_of_a_batch_gives_what_it_gives_alone(family, rows):
    policy, batch = make_policy(family), make_mixed_batch()
    completions, mask = random_completions(policy, 4, 2, 4)
    part = encode(policy, batch).select(rows)
    alone = encode(policy, select(batch, range(*rows.indices(4))))
    for one, other in ((part.prompts.images, alone.prompts.images), (part.prompts.videos, alone.prompts.videos)):
        assert (one is None) == (other is None)
        if one is not None:
            assert torch.equal(one.patches, other.patches)
            assert torch.equal(one.grid_thw, other.grid_thw)
            assert one.counts == other.counts
    with torch.no_grad():
        ours = policy.completion_logprobs(part, completions[rows])[mask[rows]]
        again = policy.completion_logprobs(policy.encode(part.prompts), completions[rows])[mask[rows]]
        theirs = policy.completion_logprobs(alone, completions[rows])[mask[rows]]
    assert largest_gap(ours, theirs) < LOGPROB_TOLERANCE
    assert largest_gap(again, theirs) < LOGPROB_TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_videos_are_encoded_once_whatever_follows(family):
    """One pass of the vision tower over the images and one over the videos, and none afterwards."""
    policy, calls = make_policy(family), []
    for model in (policy.core, policy.reference):
        model.model.visual.register_forward_pre_hook(lambda *_: calls.append(1))
    encoded = encode(policy, make_mixed_batch())
    assert len(calls) == 2
    completions, _ = random_completions(policy, 4, 2, 4)
    policy.prefill(encoded)
    policy.completion_logprobs(encoded, completions).sum().backward()
    policy.completion_logprobs(encoded, completions, use_reference=True)
    policy.completion_logprobs(encoded.select(slice(2, 4)), completions[2:])
    assert len(calls) == 2


# -- times and order -----------------------------------------------------------------------------------------------


def test_qwen3_gets_the_true_time_of_each_patch():
    """Five frames make three patches: the means of 0 and 1.1, of 3 and 4.4, and of 8 with itself."""
    text = prompt_text(make_policy("qwen3_vl"), make_mixed_batch(), row=0)
    seconds = [part.split("<")[-1] for part in text.split(" seconds>")[:-1]]
    assert seconds == ["0.6", "3.7", "8.0"]
    assert text.count("<|video_pad|>") == 3 * 16
    assert text.index("<|image_pad|>") < text.index("<|video_pad|>") < text.index("From picture 1")


def test_qwen2_5_spaces_its_positions_by_seconds():
    """Frames 1 s apart make patches of 2 s, and the model counts 2 positions a second: 0, 4, 8 from the first on."""
    policy = make_policy("qwen2_5_vl")
    prompts = policy.process(ask(make_video(6, tenths=(20, 30, 40, 50, 60, 70))))
    time = prompts.position_ids[0, 0][prompts.token_types[0] == 2]
    assert (time - time[0]).tolist() == [step for step in (0, 4, 8) for _ in range(16)]
    after = prompts.position_ids[:, 0, int(prompts.visual_mask[0].nonzero()[-1]) + 1 :]
    assert after.unique().tolist() == list(range(int(time[0]) + 4, int(time[0]) + 4 + after.shape[1]))
    assert prompts.next_position.tolist() == [int(after[0, -1]) + 1]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("with_images", [False, True])
def test_order_and_times_of_frames_matter(family, with_images):
    policy = make_policy(family)
    images = make_batch(1).images[0] if with_images else []
    video = make_video(4, tenths=(0, 10, 20, 30))
    swapped = replace(video, frames=video.frames[[2, 1, 0, 3]])
    slower = replace(video, pts_seconds=(0.0, 4.0, 8.0, 12.0))
    completions, _ = random_completions(policy, 1, 2, 5)
    one, other, late = (scores(policy, ask(v, images=images), completions) for v in (video, swapped, slower))
    assert (one - other).abs().max() > 0.01
    assert (one - late).abs().max() > 0.01
    assert torch.equal(one, scores(policy, ask(video, images=images), completions))


@pytest.mark.parametrize("family", FAMILIES)
def test_an_odd_number_of_frames_is_filled_with_the_last(family):
    """As processors do. With equal spacing in the end, only Qwen3-VL gets another time of the last patch."""
    policy = make_policy(family)
    odd = make_video(3, tenths=(0, 10, 20))
    even = Video(odd.frames[[0, 1, 2, 2]], (0.0, 1.0, 2.0, 2.0 + 1e-6))
    one, other = (policy.process(ask(video)).videos for video in (odd, even))
    assert torch.equal(one.patches, other.patches)
    assert prompt_text(policy, ask(odd)).replace("1.0 s", "") == prompt_text(policy, ask(even)).replace("1.0 s", "")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_single_frame_is_a_video(family):
    """Qwen3-VL's processor refuses less than a patch of two."""
    policy = make_policy(family)
    prompts = policy.process(ask(make_video(1, tenths=(14,))))
    assert prompts.videos.grid_thw.tolist() == [[1, 8, 8]]
    assert "<1.4 seconds>" in prompt_text(policy, ask(make_video(1, tenths=(14,)))) or family == "qwen2_5_vl"
    completions, mask = random_completions(policy, 1, 2, 3)
    assert scores(policy, ask(make_video(1)), completions)[mask].isfinite().all()


def test_times_are_indices_of_a_clock_that_ticks_once_a_second():
    """(0.5, 1.0, 3.0): a mean spacing of 1.25 s, so 3 frames stand for 3.75 s and 0.8 frames are shown a second."""
    from transformers.video_utils import VideoMetadata

    told = VideoMetadata(**video_metadata((0.5, 1.0, 3.0)))
    assert told.timestamps == [0.5, 1.0, 3.0]
    assert_close(told.sampled_fps, 0.8)
    assert VideoMetadata(**video_metadata((7.0,))).sampled_fps == 1.0


def test_whole_patches():
    video = make_video(2, tenths=(4, 9))
    frames, times = whole_patches(video, 2)
    assert frames is video.frames
    assert times == (0.4, 0.9)
    frames, times = whole_patches(video, 4)
    assert torch.equal(frames, video.frames[[0, 1, 1, 1]])
    assert times == (0.4, 0.9, 0.9, 0.9)


@pytest.mark.parametrize(
    ("family", "pixels", "grid"),
    [
        ("qwen3_vl", {}, [2, 8, 8]),
        ("qwen3_vl", {"video_max_pixels": 4 * 32**2}, [2, 4, 4]),  # four frames of 32²
        ("qwen2_5_vl", {"video_max_pixels": 32**2, "video_min_pixels": 256}, [2, 4, 4]),  # each frame 32²
        ("qwen2_5_vl", {"max_pixels": 32**2, "min_pixels": 256}, [2, 8, 8]),  # images only
    ],
)
def test_size_of_videos(family, pixels, grid):
    policy = VLMPolicy(ModelSource(str(model_folder(family)), **pixels), with_reference=False)
    assert policy.process(ask(make_video(4))).videos.grid_thw.tolist() == [grid]


# -- nothing is lost -----------------------------------------------------------------------------------------------


def test_a_template_that_leaves_videos_out_is_an_error():
    policy, batch = make_policy(), make_mixed_batch()
    dropping = policy.processor.chat_template.replace("part.type == 'video'", "false")
    assert dropping != policy.processor.chat_template
    policy.processor.chat_template = dropping.replace("{{ part.text }}", "{{ part.text or '' }}")
    with pytest.raises(ConfigError, match=r"'0-0' has 1 videos, but its text has 0"):
        policy.process(batch)


@pytest.mark.parametrize("token", ["<|image_pad|>", "<|video_pad|>"])
def test_a_question_that_holds_a_placeholder_is_an_error(token):
    policy, batch = make_policy(), make_mixed_batch()
    batch.questions = [replace(question, text=question.text + token) for question in batch.questions]
    with pytest.raises(ConfigError, match=r"'0-0' has (2|1) (images|videos), but its text has (3|2)"):
        policy.process(batch)


def test_a_processor_that_makes_fewer_tokens_than_features_is_an_error(monkeypatch):
    """The second prompt's images of 64 x 64, 32 x 128 and 80 x 32 pixels lose a token of 42 on the way."""
    policy, batch = make_policy(), make_batch(2)
    real = type(policy.processor).__call__

    def lossy(self, **kwargs):
        inputs = real(self, **kwargs)
        places = (inputs["input_ids"][1] == policy.core.config.image_token_id).nonzero()
        inputs["input_ids"][1, places[0]] = 65
        return inputs

    monkeypatch.setattr(type(policy.processor), "__call__", lossy)
    with pytest.raises(ConfigError, match=r"images of '0-1' make 42 visual tokens, but its text has 41"):
        policy.process(batch)


def test_times_that_a_release_of_transformers_rounds_away_are_an_error(monkeypatch):
    """As releases before huggingface/transformers#48669: whole seconds only. Patches of 0.5 s would lie at one time."""
    policy = make_policy("qwen2_5_vl")
    real = type(policy.core.model).get_rope_index

    def rounding(self, *args, second_per_grid_ts=None, **kwargs):
        whole = second_per_grid_ts if second_per_grid_ts is None else second_per_grid_ts.int()
        return real(self, *args, second_per_grid_ts=whole, **kwargs)

    quarter, half = (Video(make_video(8).frames, tuple(k / n for k in range(8))) for n in (4, 2))
    monkeypatch.setattr(type(policy.core.model), "get_rope_index", rounding)
    policy.process(ask(half))
    with pytest.raises(ConfigError, match=r"3\.0 positions.* 0"):
        policy.process(ask(half, quarter))


def test_features_without_a_place_are_an_error():
    """transformers' scatter would drop the last ones."""
    policy, batch = make_policy(), make_mixed_batch()
    encoded = encode(policy, batch)
    total = int(encoded.prompts.visual_mask.sum())
    longer = [torch.cat([level, level[:1]]) for level in encoded.features]
    for features in (longer, [level[1:] for level in encoded.features], []):
        with pytest.raises(ValueError, match=f"{total} visual placeholders in 4 prompts"):
            EncodedPrompts(encoded.prompts, features)


# -- by hand -------------------------------------------------------------------------------------------------------


def test_features_lie_where_their_kind_has_a_place():
    """Text 0, images 1, videos 2, even with a video between images."""
    kinds = torch.tensor([[0, 1, 2, 0, 1], [2, 2, 0, 1, 0]])
    pictures, videos = torch.tensor([[10.0], [11.0], [12.0]]), torch.tensor([[20.0], [21.0], [22.0]])
    assert in_prompt_order(pictures, videos, kinds).flatten().tolist() == [10, 20, 11, 21, 22, 12]


def test_selecting_visual_inputs():
    """Three prompts with 1, 0 and 2 items of 4, 8 and 2 patches."""
    grids = torch.tensor([[1, 2, 2], [2, 2, 2], [1, 1, 2]])
    inputs = VisualInputs(torch.arange(14.0)[:, None], grids, (1, 0, 2))
    assert inputs.num_tokens(1) == [4, 0, 10]
    last = inputs.select(slice(1, 3))
    assert last.patches.flatten().tolist() == list(range(4, 14))
    assert last.grid_thw.tolist() == grids[1:].tolist()
    assert last.counts == (0, 2)
    assert inputs.select(slice(1, 2)) is None


# -- prompts that are not shared -----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["lora", "full with vision"])
def test_separate_rows_equal_one_row_at_a_time(family, kind):
    """As above with each completion behind a copy of its prompt: features are repeated prompt by prompt."""
    policy, batch = KINDS[kind](family, prefix_sharing="off"), make_mixed_batch()
    completions, mask = random_completions(policy, 4, 2, 6)
    separate = policy.completion_logprobs(encode(policy, batch), completions)[mask]
    weights = weights_like(separate)
    actual = gradients_of(policy, (separate * weights).sum())
    naive = naive_batch(policy.core, policy, batch, completions, mask)
    expected = gradients_of(policy, (naive * weights).sum())
    assert largest_gap(separate, naive) < LOGPROB_TOLERANCE
    assert_same_gradients(actual, expected)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rows", [range(4), [3]], ids=["mixed", "words only"])
def test_completions_about_videos_do_not_depend_on_how_they_are_decoded(family, rows):
    batch = select(make_mixed_batch(), rows)
    shared = roll_out(talkative(family, end=4.0, prefix_sharing="on"), batch)
    separate = roll_out(talkative(family, end=4.0, prefix_sharing="off"), batch)
    chosen = talkative(family, end=4.0, prefix_sharing="auto")
    assert chosen.shares_prompts(encode(chosen, batch))
    for other in (separate, roll_out(chosen, batch)):
        assert torch.equal(other.token_ids, shared.token_ids)
        assert largest_gap(other.logprobs, shared.logprobs) < LOGPROB_TOLERANCE
