"""Rollouts from a server: what it is asked, in which order, and what becomes of what it says."""

import base64
import math
import re
import threading
import time
import warnings

import pytest
import torch

from remot.errors import ConfigError, EngineError
from remot.losses import GRPOLoss, MaskedImportance, TruncatedImportance
from remot.models.export import save_merged
from remot.rollout import VLLM, ServerEngine, SGLang, TransformersServe
from remot.rollout.sampling import RolloutAddress, RolloutRequest, SamplingSettings
from remot.rollout.servers import client as client_module
from remot.rollout.servers.engine import in_parallel
from remot.rollout.servers.messages import encode_png
from remot.stopping import StoppedBySignal
from remot.strategies import GRPO, AlternatingSFTGRPO, GRPOObjective, PostTrainingModule
from remot.strategies.objective import StepAddress
from remot.structures import PromptBatch, Video
from tests.data.made import data_module
from tests.rollout.fake_server import reply, serving
from tests.strategies.grpo.test_objective import ADDRESS, FirstLetterReward, update
from tests.strategies.test_module import Notebook, fit, make_module, make_trainer, ready_module
from tests.tiny import make_batch, make_lora_policy, make_policy

CHAT = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(client_module.time, "sleep", lambda _: None)


def by_seed(path, body):
    """A word that depends on the seed, with log-probabilities of the ids that vLLM gives."""
    if path != CHAT:
        return 200, {}, {}
    first = 30 + body["seed"] % 7
    tokens = [{"token": "?", "logprob": -1.5}, {"token": "?", "logprob": -0.5}]
    return 200, reply("xy", "length", token_ids=[first, first + 1], logprobs={"content": tokens}), {}


def engine_of(url, tmp_path, protocol=None, **settings):
    return ServerEngine(protocol or VLLM(), url, tmp_path / "weights", **{"num_retries": 0} | settings)


def objective_of(engine, **settings):
    settings = {"num_completions": 3, "max_new_tokens": 2, "loss": GRPOLoss(beta=0.0)} | settings
    return GRPOObjective(reward=FirstLetterReward(), engine=engine, **settings)


def completions_asked(asked):
    return [body for path, body in asked if path == CHAT]


def test_weights_then_caches_then_completions(tmp_path):
    """Two steps: the second hand-over replaces the first, on the server and on the disk."""
    policy, batch = make_lora_policy(), make_batch(2)
    with serving(by_seed) as (url, asked):
        objective = objective_of(engine_of(url, tmp_path))
        objective.check()
        objective.prepare(policy, batch, StepAddress(0, 0), 2)
        first = list(asked)
        asked.clear()
        (before,) = [path.name for path in (tmp_path / "weights").iterdir()]
        objective.prepare(policy, batch, StepAddress(0, 1), 2)
    (folder,) = (tmp_path / "weights").iterdir()
    assert re.fullmatch(r"remot-[0-9a-f]{8}-step-0", before)
    assert folder.name == before.removesuffix("0") + "1"
    assert (folder / "adapter_model.safetensors").is_file()
    assert [path for path, _ in first] == [
        *("/health", "/v1/load_lora_adapter", "/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache"),
        *[CHAT] * 6,
    ]
    assert asked[:5] == [
        ("/v1/load_lora_adapter", {"lora_name": folder.name, "lora_path": str(folder)}),
        ("/reset_prefix_cache", None),
        ("/reset_mm_cache", None),
        ("/reset_encoder_cache", None),
        ("/v1/unload_lora_adapter", {"lora_name": before}),
    ]
    assert {body["model"] for body in completions_asked(asked)} == {folder.name}


@pytest.mark.parametrize("protocol", [VLLM(), TransformersServe()])
def test_a_run_that_begins_again_has_weights_of_its_own(protocol, tmp_path):
    """The server still has those of a run that was killed at the same step; vLLM refuses to load a name twice, and
    ``transformers serve`` would go on with what it has loaded from a folder of the same name."""
    held = set()

    def answer(path, body):
        if path == "/v1/load_lora_adapter":
            if body["lora_name"] in held:
                return 400, {"message": "has already been loaded"}, {}
            held.add(body["lora_name"])
        return by_seed(path, body)

    with serving(answer) as (url, asked):
        for _ in range(2):
            objective_of(engine_of(url, tmp_path, protocol)).prepare(make_lora_policy(), make_batch(1), ADDRESS, 1)
    assert len({body["model"] for body in completions_asked(asked)}) == 2


def test_a_request_is_what_the_policy_is_shown(tmp_path):
    """Images without loss, then the question; every completion has a seed of its own, the same ones again."""
    batch = make_batch(2)
    with serving(by_seed) as (url, asked):
        objective = objective_of(
            engine_of(url, tmp_path), sampling=SamplingSettings(1.0, top_k=5, top_p=0.9, min_p=0.1)
        )
        objective.prepare(make_lora_policy(), batch, ADDRESS, 2)
        one = completions_asked(asked)
        asked.clear()
        objective.prepare(make_lora_policy(), batch, ADDRESS, 2)
    again = completions_asked(asked)
    seeds = [body["seed"] for body in one]
    assert len(set(seeds)) == 6
    assert sorted(seeds) == sorted(body["seed"] for body in again)
    assert all(0 <= seed < 2**31 for seed in seeds)
    fields = {"max_tokens": 2, "temperature": 1.0, "top_k": 5, "top_p": 0.9, "min_p": 0.1, "logprobs": True}
    assert {key: one[0][key] for key in fields} == fields
    shown = [
        [part["image_url"]["url"] for part in body["messages"][0]["content"] if part["type"] == "image_url"]
        for body in one
    ]
    for row, pictures in enumerate(batch.images):
        wanted = ["data:image/png;base64," + base64.b64encode(encode_png(one)).decode() for one in pictures]
        assert shown.count(wanted) == 3, row
    texts = [body["messages"][0]["content"][-1] for body in one]
    assert texts.count({"type": "text", "text": batch.questions[0].text}) == 3


def test_completions_are_those_of_their_seeds_whatever_order_they_come_in(tmp_path):
    policy, batch = make_lora_policy(), make_batch(2)
    found = []
    with serving(by_seed) as (url, _):
        for num_parallel in (1, 16):
            objective = objective_of(engine_of(url, tmp_path, num_parallel=num_parallel))
            prepared = objective.prepare(policy, batch, ADDRESS, 2)
            found.append([sample.completions for sample in prepared.samples])
    assert found[0] == found[1]
    assert len({text for group in found[0] for text in group}) > 1


def test_ratios_are_corrected_by_default(tmp_path):
    policy, batch = make_lora_policy(), make_batch(2)
    assert GRPOObjective().importance is None
    with serving(by_seed) as (url, _):
        engine = engine_of(url, tmp_path)
        assert isinstance(objective_of(engine).importance, TruncatedImportance)
        other = MaskedImportance()
        assert objective_of(engine, correction=other).importance is other
        totals, gradients = update(objective_of(engine).prepare(policy, batch, ADDRESS, 1), policy)
    assert totals["importance/ratio_mean"] != pytest.approx(1, abs=0.01)
    assert totals["importance/weight_mean"] <= 2
    assert any(gradient.any() for gradient in gradients.values())


@pytest.mark.parametrize(
    ("settings", "temperature", "is_taken"),
    [
        ({}, 1.0, True),
        ({}, 0.7, False),  # they are of temperature 1
        ({"logprobs": "tempered"}, 0.7, True),
        ({"logprobs": "none"}, 1.0, False),
    ],
)
def test_log_probabilities_of_another_distribution_are_not_believed(settings, temperature, is_taken, tmp_path):
    """What the trainer says instead makes every ratio 1, and that nothing is corrected is said once."""
    policy, batch = make_lora_policy(), make_batch(1)
    sampling = SamplingSettings(temperature)
    with serving(by_seed) as (url, _), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        objective = objective_of(engine_of(url, tmp_path, **settings), sampling=sampling)
        totals, _ = update(objective.prepare(policy, batch, ADDRESS, 1), policy)
        objective.prepare(policy, batch, ADDRESS, 1)
    said = [one for one in caught if "gives no log-probabilities" in str(one.message)]
    assert len(said) == (0 if is_taken else 1)
    assert (abs(totals["importance/ratio_mean"] - 1) < 1e-4) is not is_taken


def test_dialects_differ_in_names_and_fields(tmp_path):
    policy, batch = make_lora_policy(), make_batch(1)

    def words(path, body):  # noqa: ARG001
        return 200, reply("Which way?") if path == CHAT else {}, {}

    for protocol in (SGLang("base"), TransformersServe()):
        with serving(words) as (url, asked), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            objective_of(engine_of(url, tmp_path, protocol), num_completions=2).prepare(policy, batch, ADDRESS, 1)
            objective_of(engine_of(url, tmp_path, protocol), num_completions=2).prepare(
                policy, batch, StepAddress(0, 3), 1
            )
        paths = [path for path, _ in asked]
        body = completions_asked(asked)[0]
        if isinstance(protocol, SGLang):
            assert paths[:4] == ["/load_lora_adapter", "/flush_cache", CHAT, CHAT]
            assert re.fullmatch("base:remot-[0-9a-f]{8}-step-0", body["model"])
        else:
            assert set(paths) == {CHAT}
            assert re.fullmatch(f"{tmp_path}/weights/remot-[0-9a-f]{{8}}-step-0", body["model"])
            assert '"do_sample": true' in body["generation_config"]
            assert not {"logprobs", "top_k", "n"} & body.keys()  # it refuses fields it does not know


def test_merged_weights_are_handed_over_for_a_server_without_adapters(tmp_path):
    """What the files say is what the policy with its adapters says, and the policy is as before."""
    from remot.models import ModelSource, VLMPolicy
    from tests.tiny import encode, random_completions

    policy, batch = make_lora_policy(), make_batch(2)
    before = {name: parameter.clone() for name, parameter in policy.named_parameters()}
    save_merged(policy, tmp_path / "merged")
    merged = VLMPolicy(ModelSource(str(tmp_path / "merged")), with_reference=False)
    ids, mask = random_completions(policy, 2, 2, 5)
    wanted, found = (one.completion_logprobs(encode(one, batch), ids)[mask] for one in (policy, merged))
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-4)
    base = make_policy(with_reference=False)
    assert not torch.allclose(base.completion_logprobs(encode(base, batch), ids)[mask], wanted, rtol=1e-2)
    assert all(torch.equal(parameter, before[name]) for name, parameter in policy.named_parameters())


# -- what goes wrong ------------------------------------------------------------------------------------------------


def test_no_server_no_run(tmp_path):
    """Before the policy is loaded."""
    with serving(lambda *_: (503, {}, {})) as (url, _):
        module = ready_module(GRPO(), grpo=objective_of(engine_of(url, tmp_path)))
        module.policy = None
        with pytest.raises(EngineError, match="status 503"):
            fit(module, tmp_path, max_steps=1)
        assert module.policy is None


def test_a_run_with_a_server(tmp_path):
    with serving(by_seed) as (url, asked):
        module = ready_module(GRPO(), grpo=objective_of(engine_of(url, tmp_path)))
        notebook, _ = fit(module, tmp_path, max_steps=2)
    assert [step["train/importance/weight_mean"] > 0 for step in notebook.logged] == [True, True]
    assert all(math.isfinite(step["train/loss"]) for step in notebook.logged)
    loaded = [body["lora_name"] for path, body in asked if path == "/v1/load_lora_adapter"]
    assert [name.partition("-step-")[2] for name in loaded] == ["0", "1"]


def test_a_server_that_does_not_take_the_weights(tmp_path):
    def answer(path, body):  # noqa: ARG001
        return (400, {"detail": "rank 64 is too large"}, {}) if "load" in path else (200, reply(), {})

    with serving(answer) as (url, asked):
        with pytest.raises(EngineError, match=r"load_lora_adapter.*rank 64 is too large"):
            objective_of(engine_of(url, tmp_path)).prepare(make_lora_policy(), make_batch(1), ADDRESS, 1)
        assert not completions_asked(asked)


def test_fewer_completions_than_asked_for(tmp_path):
    none, refused = (200, {"choices": []}, {}), pytest.raises(EngineError, match=r"one completion.* 0")
    with serving(lambda *_: none) as (url, _), refused:
        objective_of(engine_of(url, tmp_path)).prepare(make_lora_policy(), make_batch(1), ADDRESS, 1)


def test_full_weights_are_not_for_servers_of_adapters(tmp_path):
    with serving(by_seed) as (url, asked):
        for protocol in (VLLM(), SGLang("base")):
            with pytest.raises(ConfigError, match="adaptation to LoRA"):
                objective_of(engine_of(url, tmp_path, protocol)).prepare(make_policy(), make_batch(1), ADDRESS, 1)
    assert asked == []


@pytest.mark.parametrize("protocol", [SGLang("base"), TransformersServe()])
def test_videos_are_not_for_a_server_that_chooses_their_frames(protocol, tmp_path):
    with pytest.raises(ConfigError, match=f"{type(protocol).__name__} takes no frames of a video"):
        body_of(protocol, filmed(), tmp_path)


@pytest.mark.parametrize("settings", [{"num_parallel": 0}, {"logprobs": "some"}])
def test_impossible_settings(settings, tmp_path):
    with pytest.raises(ConfigError, match="engine"):
        engine_of("http://host", tmp_path, **settings)


@pytest.mark.parametrize("error", [EngineError("no answer"), StoppedBySignal(15)])
def test_an_error_or_a_signal_waits_for_no_reply_and_sends_no_request(error):
    """One request fails, one hangs, a third has not been sent."""
    sent, hangs, is_over = [], threading.Event(), threading.Event()

    def send(request):
        sent.append(request)
        if request == "hangs":
            hangs.set()
            is_over.wait(10)
        elif request == "fails":
            hangs.wait(10)
            raise error

    started = time.monotonic()
    try:
        with pytest.raises(type(error)):
            in_parallel(send, ["fails", "hangs", "late", "later"], 2)
        assert time.monotonic() - started < 5
        assert all(one.daemon for one in threading.enumerate() if one is not threading.main_thread())
    finally:
        is_over.set()
    assert {*sent} == {"fails", "hangs"}


def test_replies_come_in_the_order_of_their_requests():
    def send(number):
        time.sleep(0.001 * (20 - number))
        return number * number

    assert in_parallel(send, range(20), 7) == [number * number for number in range(20)]
    assert in_parallel(send, [], 7) == []


# -- videos ---------------------------------------------------------------------------------------------------------


def filmed(times=(0.0, 0.7, 1.5, 4.0), num_videos=1):
    """A batch of one prompt with videos."""
    generator = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 256, (len(times), 3, 32, 32), dtype=torch.uint8, generator=generator)
    batch = make_batch(1)
    return PromptBatch([()], batch.questions, batch.clip_ids, [[Video(frames, times)] * num_videos])


def body_of(protocol, batch, tmp_path):
    """The request for a completion of a batch's only prompt."""
    with serving(by_seed) as (url, asked):
        engine, policy = engine_of(url, tmp_path, protocol), make_lora_policy()
        engine.sync_weights(policy, 0)
        request = RolloutRequest(1, 2, SamplingSettings(), RolloutAddress(0, 0, ("a",)))
        engine.complete(policy, batch, request)
    (body,) = completions_asked(asked)
    return body


def test_vllm_gets_every_frame_with_its_time(tmp_path):
    batch = filmed(num_videos=2)
    body = body_of(VLLM(), batch, tmp_path)
    *videos, text = body["messages"][0]["content"]
    assert [part["type"] for part in videos] == ["video_url", "video_url"]
    assert text == {"type": "text", "text": batch.questions[0].text}
    kind, _, sent = videos[0]["video_url"]["url"].partition(",")
    assert kind == "data:video/jpeg;base64"
    assert [base64.b64decode(frame) for frame in sent.split(",")] == [encode_png(x) for x in batch.videos[0][0].frames]
    shown = body["media_io_kwargs"]["video"]
    assert [place / shown["fps"] for place in shown["frames_indices"]] == [0.0, 0.7, 1.5, 4.0]
    assert (shown["do_sample_frames"], shown["num_frames"]) == (False, -1)
    assert shown["total_num_frames"] > max(shown["frames_indices"])


def test_a_video_of_one_frame_is_sent_as_the_policy_is_shown_it(tmp_path):
    body = body_of(VLLM(), filmed((2.5,)), tmp_path)
    sent = body["messages"][0]["content"][0]["video_url"]["url"].partition(",")[2].split(",")
    assert len(sent) == 2
    assert sent[0] == sent[1]
    assert body["media_io_kwargs"]["video"]["frames_indices"] == [2_500_000, 2_500_000]


def test_vllm_has_one_set_of_times_for_a_prompt(tmp_path):
    one, other = filmed(), filmed((0.0, 1.0, 2.0, 3.0))
    both = PromptBatch([()], one.questions, one.clip_ids, [[one.videos[0][0], other.videos[0][0]]])
    with pytest.raises(ConfigError, match="same times"):
        body_of(VLLM(), both, tmp_path)


def test_vllm_is_not_shown_videos_whose_times_it_would_space_itself(tmp_path):
    policy = make_lora_policy("qwen2_5_vl")
    with serving(by_seed) as (url, _):
        engine = engine_of(url, tmp_path)
        engine.sync_weights(policy, 0)
        request = RolloutRequest(1, 2, SamplingSettings(), RolloutAddress(0, 0, ("a",)))
        with pytest.raises(ConfigError, match="spaces the frames"):
            engine.complete(policy, filmed(), request)


# -- one step ahead -------------------------------------------------------------------------------------------------


def run_on_clips(tmp_path, answer, max_steps=3, strategy=None, one_step_ahead=True):
    """A run on the embedded clips, two prompts a step; returns what was asked and what was logged."""
    data = data_module(batch_size=2, num_train_prompts_per_epoch=4, num_val_prompts=2, num_test_prompts=2)
    notebook = Notebook()
    with serving(answer) as (url, asked):
        engine = engine_of(url, tmp_path, one_step_ahead=one_step_ahead)
        module = ready_module(strategy or GRPO(), grpo=objective_of(engine))
        make_trainer(tmp_path, logger=notebook, max_steps=max_steps).fit(module, data)
    return list(asked), notebook.logged


def test_the_next_step_is_sampled_with_the_weights_of_this_one(tmp_path):
    """Three steps of two prompts with three completions: the first two groups of requests go to the first weights.

    Prompts and seeds are those of a run that waits.
    """
    asked, logged = run_on_clips(tmp_path, by_seed)
    bodies = completions_asked(asked)
    steps = [body["model"].partition("-step-")[2] for body in bodies]
    assert steps == ["0"] * 12 + ["1"] * 6  # nothing is asked for a fourth step
    assert all(math.isfinite(step["train/loss"]) for step in logged)

    def told(bodies):
        return sorted((body["seed"], body["messages"][0]["content"][-1]["text"]) for body in bodies)

    waiting, _ = run_on_clips(tmp_path, by_seed, one_step_ahead=False)
    assert len({body["seed"] for body in bodies}) == 18
    assert told(bodies) == told(completions_asked(waiting))


def test_the_server_works_while_the_trainer_learns(tmp_path, monkeypatch):
    """It gets the requests of the next step before the update, and replies to them after it."""
    is_asked, has_learnt, seen = threading.Event(), threading.Event(), []

    def answer(path, body):
        if path == CHAT:
            seen.append(body)
            if len(seen) > 6:  # those of the first step
                is_asked.set()
                if not has_learnt.wait(20):
                    return 500, {}, {}
        return by_seed(path, body)

    update = PostTrainingModule._update

    def learn(module, trained):
        assert is_asked.wait(20)
        metrics = update(module, trained)
        has_learnt.set()
        return metrics

    monkeypatch.setattr(PostTrainingModule, "_update", learn)
    run_on_clips(tmp_path, answer, max_steps=2)
    assert len(seen) == 12


def test_a_phase_of_another_objective_is_not_sampled_for(tmp_path):
    """SFT, GRPO, SFT, GRPO: no step follows one of its kind."""
    strategy = AlternatingSFTGRPO(k_sft=1, k_grpo=1)
    asked, _ = run_on_clips(tmp_path, by_seed, max_steps=4, strategy=strategy)
    steps = [body["model"].partition("-step-")[2] for body in completions_asked(asked)]
    assert steps == ["1"] * 6 + ["3"] * 6


def test_a_failure_of_requests_that_were_sent_ahead_ends_the_run(tmp_path):
    seen = []

    def answer(path, body):
        if path == CHAT:
            seen.append(path)
            if len(seen) > 6:
                return 400, {"message": "out of blocks"}, {}
        return by_seed(path, body)

    with pytest.raises(EngineError, match="out of blocks"):
        run_on_clips(tmp_path, answer)


def test_a_data_module_that_does_not_know_the_next_batch(tmp_path):
    """Before the policy is loaded, and before the server is asked for anything."""
    with serving(by_seed) as (url, asked):
        module = make_module(GRPO(), grpo=objective_of(engine_of(url, tmp_path, one_step_ahead=True)))
        with pytest.raises(ConfigError, match="does not know it"):
            fit(module, tmp_path, max_steps=2)
        assert asked == []
    assert module.policy is None


@pytest.mark.parametrize(
    ("settings", "named"), [({"logprobs": "none"}, "logprobs: none"), ({"protocol": TransformersServe()}, "Serve")]
)
def test_older_weights_need_log_probabilities_of_the_server(settings, named, tmp_path):
    with pytest.raises(ConfigError, match=f"one_step_ahead needs.*{named}"):
        engine_of("http://host", tmp_path, one_step_ahead=True, **settings)


def test_log_probabilities_before_temperature_correct_nothing(tmp_path):
    with serving(by_seed) as (url, _):
        engine = engine_of(url, tmp_path, one_step_ahead=True)
        objective = objective_of(engine, sampling=SamplingSettings(0.7))
        with pytest.raises(ConfigError, match=r"one_step_ahead.*temperature 0.7"):
            objective.prepare(make_lora_policy(), make_batch(1), ADDRESS, 1)
