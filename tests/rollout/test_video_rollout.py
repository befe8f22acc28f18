"""Rollouts of prompts with videos: alone or together, sampled or scored, by us or by transformers."""

import pytest
import torch

from remot.evaluation.benchmark import EvaluationSettings, answer_batch
from remot.rollout.sampling import GREEDY, SamplingSettings
from tests.rollout.decoding.test_engine import PLAIN, real_tokens, roll_out, talkative
from tests.tiny import SAMPLED, encode, make_mixed_batch, make_policy, select


@pytest.mark.parametrize("family", SAMPLED)
@pytest.mark.parametrize("sampling", [PLAIN, GREEDY])
def test_completions_do_not_depend_on_what_is_decoded_together(family, sampling):
    """Images and a video, images, videos, and words: at once, and each alone."""
    policy, batch = talkative(family), make_mixed_batch()
    together = roll_out(policy, batch, sampling=sampling)
    for row in range(4):
        alone = roll_out(policy, select(batch, [row]), sampling=sampling)
        assert real_tokens(alone, 0) == real_tokens(together, row)
        assert alone.texts[0] == together.texts[row]


@pytest.mark.parametrize("family", SAMPLED)
def test_sampler_and_scoring_pass_agree(family):
    policy, batch = talkative(family), make_mixed_batch()
    rollout = roll_out(policy, batch, sampling=SamplingSettings(temperature=0.8))
    mask = rollout.completion_mask
    with torch.no_grad():
        scored = policy.completion_logprobs(encode(policy, batch), rollout.token_ids, temperature=0.8)
    assert int(mask.sum()) > 20
    assert (scored - rollout.logprobs)[mask].abs().max() < 1e-5


@pytest.mark.parametrize("family", SAMPLED)
def test_greedy_equals_generate_of_transformers(family):
    """transformers' own loop, prompt by prompt, with the same tokens suppressed."""
    policy, batch = make_policy(family), make_mixed_batch()
    rollout = roll_out(policy, batch, num_completions=1, max_new_tokens=6, sampling=GREEDY)
    banned = policy.logit_bias.isinf().nonzero()[:, 0].tolist()
    for row in (0, 2):
        prompts = policy.process(select(batch, [row]))
        shown = {"pixel_values_videos": prompts.videos.patches, "video_grid_thw": prompts.videos.grid_thw}
        if family == "qwen2_5_vl":  # patches of 2 frames, so twice the mean spacing
            shown["second_per_grid_ts"] = [
                2 * (v.pts_seconds[-1] - v.pts_seconds[0]) / (len(v) - 1) for v in batch.videos[row]
            ]
        if prompts.images is not None:
            shown |= {"pixel_values": prompts.images.patches, "image_grid_thw": prompts.images.grid_thw}
        theirs = policy.core.generate(
            input_ids=prompts.input_ids,
            attention_mask=prompts.prompt_mask.long(),
            mm_token_type_ids=prompts.token_types,
            max_new_tokens=6,
            do_sample=False,
            suppress_tokens=banned,
            **shown,
        )
        assert real_tokens(rollout, row) == [theirs[0, prompts.input_ids.shape[1] :].tolist()]


def test_evaluation_answers_questions_about_videos():
    """The same answer as the rollout's, and another one without the video."""
    policy, batch = talkative(), make_mixed_batch()
    settings = EvaluationSettings(max_new_tokens=8, num_completions=2)
    answered = answer_batch(policy, batch, settings, SamplingSettings())
    assert len(answered.judged) == 8
    blind = select(batch, range(4))
    blind.videos = [[]] * 4
    texts = answer_batch(policy, blind, settings, SamplingSettings()).rollout.texts
    assert [one == other for one, other in zip(answered.rollout.texts, texts, strict=True)] == [
        False,
        True,
        False,
        True,
    ]
