"""What is published about each recipe, value by value with its source, against what its file says.

Sources: "paper" is the arXiv number in the file's header; "code" the released repository, with the file that holds the
value; "default" what the released trainer leaves to its library (TRL 0.15.1 and transformers' ``TrainingArguments``,
or EasyR1's configuration). What stands in a file and not here is ours: docs/papers.md lists it recipe by recipe.
"""

import inspect
from functools import cache

import pytest
import yaml

from remot import losses, rewards
from remot.strategies import FrozenFrames, PostTrainingModule
from tests.helpers import PROJECT

CONFIGS = PROJECT / "configs"
GRPO, LOSS, ADAM = "model.grpo", "model.grpo.loss.init_args", "model.optimizer.init_args"
SCHEDULE = "model.scheduler"
PIXELS = 28 * 28

TRL_DEFAULTS = (
    (f"{ADAM}.lr", 1e-6, "default GRPOConfig.learning_rate; R1.5 also in code grpo_tasks.sh"),
    (f"{ADAM}.weight_decay", 0.0, "default TrainingArguments"),
    (f"{LOSS}.beta", 0.04, "default GRPOConfig.beta"),
    (f"{SCHEDULE}.class_path", "torch.optim.lr_scheduler.LinearLR", "default TrainingArguments.lr_scheduler_type"),
    (f"{SCHEDULE}.init_args.start_factor", 1.0, "default warmup_steps 0"),
    (f"{SCHEDULE}.init_args.end_factor", 0.0, "default: linear to 0"),
)
VIDEOCHAT = (
    *TRL_DEFAULTS,
    (f"{GRPO}.num_completions", 8, "code run_grpo_video_task.sh; grpo_tasks.sh"),
    (f"{GRPO}.max_new_tokens", 1024, "code run_grpo_video_task.sh; grpo_tasks.sh"),
    (f"{GRPO}.sampling", None, "code grpo_tasks_trainer.py: temperature 1, no top_p"),
    ("data.batch_size", 8, "code: 1 a GPU, 8 GPUs"),
    ("model.policy.source.pretrained", "Qwen/Qwen2.5-VL-7B-Instruct", "code run_grpo_video_task.sh"),
)
SG_RLVR = (
    (f"{GRPO}.num_completions", 8, "code run_SpaceR_SG_RLVR.sh; Video-STR: note"),
    (f"{GRPO}.max_new_tokens", 1024, "code run_SpaceR_SG_RLVR.sh"),
    (f"{GRPO}.sampling.temperature", 1.0, "code SG_RLVR_trainer.py"),
    (f"{GRPO}.sampling.top_p", 0.95, "code SG_RLVR_trainer.py"),
    (f"{LOSS}.beta", 0.04, "code run_SpaceR_SG_RLVR.sh"),
    (f"{LOSS}.kl.class_path", "remot.losses.K3", "code SG_RLVR_trainer.py"),
    (f"{LOSS}.kl.init_args", {"log_ratio_bound": 10.0}, "code SG_RLVR_trainer.py: x_clamped"),
    (f"{ADAM}.lr", 1e-6, "code run_SpaceR_SG_RLVR.sh"),
    (f"{ADAM}.weight_decay", 0.01, "code run_SpaceR_SG_RLVR.sh"),
    (f"{SCHEDULE}.class_path", "torch.optim.lr_scheduler.CosineAnnealingLR", "code run_SpaceR_SG_RLVR.sh"),
    ("model.gradient_clip_norm", 5.0, "code run_SpaceR_SG_RLVR.sh"),
    ("data.batch_size", 8, "code: 1 a GPU, 8 GPUs"),
    ("model.policy.source.pretrained", "Qwen/Qwen2.5-VL-7B-Instruct", "code run_SpaceR_SG_RLVR.sh; Video-STR: note"),
    ("model.policy.source.video_max_pixels", 128 * PIXELS, "paper, code"),
)
REMOT = (
    (f"{GRPO}.num_completions", 4, "note"),
    (f"{LOSS}.beta", 0.01, "note"),
    ("data.batch_size", 16, "note"),
    ("trainer.max_steps", 2 * 16_000 // 16, "note: 2 epochs of ReMoT-16k"),
    ("model.policy.source.pretrained", "Qwen/Qwen3-VL-4B-Thinking", "note"),
    ("model.sft.loss_on", "answer", "note"),
    (f"{GRPO}.reward.class_path", "remot.rewards.ReMoTReward", "note: 3.5, 3.5, 1.3, 1.7"),
)


def clipped(low, high, source="paper"):
    return (f"{LOSS}.clip_low", low, source), (f"{LOSS}.clip_high", high, source)


def loss(name):
    return (f"{GRPO}.loss.class_path", f"remot.losses.{name}", "paper")


def advantages(name):
    return (f"{GRPO}.advantages.class_path", f"remot.losses.{name}", "paper")


NO_KL = (f"{LOSS}.beta", 0.0, "paper")
PUBLISHED = {
    **dict.fromkeys(("grpo", "sft", "sft_then_grpo", "sft_grpo_alternating", "systems/remot"), REMOT),
    "systems/videochat_r1": (*VIDEOCHAT, ("trainer.max_steps", 18_031 // 8, "note: 1 epoch of the joint set")),
    "systems/videochat_r1_5": (
        *VIDEOCHAT,
        ("model.evaluation.perception.num_perceptions", 2, "code"),
        ("model.policy.source.video_max_pixels", 2 * 8192 * PIXELS // 64, "code grpo_tasks.py, over 64 frames"),
    ),
    "systems/spacer": (
        *SG_RLVR,
        ("trainer.max_steps", 151_000 // 8, "code: 1 epoch of SpaceR-151k"),
        (f"{SCHEDULE}.init_args.T_max", 151_000 // 8, "code: a cosine over the epoch"),
        (f"{GRPO}.counterfactuals.init_args.num_completions", 4, "code SG_RLVR_trainer.py: G / 2"),
        ("model.policy.source.max_pixels", 401_408, "code run_SpaceR_SG_RLVR.sh"),
    ),
    "systems/video_str": SG_RLVR,
    "rewards/motion_o": (
        loss("GSPOLoss"),
        *clipped(0.2, 0.2, "code grpo_trainer_v3.py"),
        (f"{LOSS}.beta", 0.04, "code grpo_v3_2h200_sft_dense.sh"),
        (f"{LOSS}.kl.init_args", {"log_ratio_bound": 10.0}, "code grpo_trainer_v3.py: x_clamped"),
        (f"{GRPO}.num_completions", 4, "code grpo_v3_2h200_sft_dense.sh"),
        (f"{GRPO}.max_new_tokens", 768, "code grpo_v3_2h200_sft_dense.sh"),
        (f"{GRPO}.sampling", {"temperature": 0.7, "top_p": 0.95}, "code grpo_trainer_v3.py"),
        (f"{GRPO}.counterfactuals", {"class_path": "remot.strategies.FrozenFrames"}, "grpo_trainer_v3.py, 785-804"),
        (f"{ADAM}.lr", 5e-7, "code grpo_v3_2h200_sft_dense.sh"),
        (f"{ADAM}.weight_decay", 0.01, "code grpo_v3_2h200_sft_dense.sh"),
        (f"{SCHEDULE}.class_path", "torch.optim.lr_scheduler.CosineAnnealingLR", "code grpo_v3_2h200_sft_dense.sh"),
        ("model.gradient_clip_norm", 5.0, "code grpo_v3_2h200_sft_dense.sh"),
        ("data.batch_size", 4, "code: 1 a GPU, 2 GPUs, 2 batches an update"),
        ("model.policy.adaptation.init_args.rank", 16, "code grpo_v3_2h200_sft_dense.sh"),
        ("model.policy.adaptation.init_args.alpha", 32, "code grpo_v3_2h200_sft_dense.sh"),
        ("model.policy.adaptation.init_args.dropout", 0.05, "code grpo_v3_2h200_sft_dense.sh"),
    ),
    "rewards/t_grpo": (
        (f"{GRPO}.num_completions", 8, "code Video-R1 run_grpo_video.sh"),
        (f"{GRPO}.counterfactuals.init_args.num_completions", 4, "code Video-R1 grpo_trainer.py: G / 2"),
        (f"{GRPO}.sampling", {"temperature": 1.0, "top_p": 0.95}, "code Video-R1 grpo_trainer.py"),
        (f"{GRPO}.reward.init_args.rewards.1.init_args.ratio", 0.8, "code Video-R1 grpo_trainer.py"),
        (f"{GRPO}.reward.init_args.rewards.1.init_args.bonus", 0.3, "code Video-R1 grpo_trainer.py"),
    ),
    "rewards/temporal_rlt": (
        (f"{GRPO}.num_completions", 8, "code run_qwen2_5_vl_3b_tvg.sh"),
        (f"{GRPO}.max_new_tokens", 2048, "code run_qwen2_5_vl_3b_tvg.sh"),
        (f"{GRPO}.sampling", None, "default EasyR1: temperature 1, no top_k, no top_p"),
        (f"{GRPO}.loss.class_path", "remot.losses.BNPOLoss", "code core_algos.py: mean over tokens"),
        *clipped(0.2, 0.2, "default EasyR1"),
        (f"{LOSS}.beta", 0.01, "code run_qwen2_5_vl_3b_tvg.sh"),
        (f"{LOSS}.kl.init_args", {"bound": 10.0}, "code core_algos.py: low_var_kl"),
        (f"{GRPO}.advantages.init_args.eps", 1e-6, "code core_algos.py"),
        (f"{ADAM}.lr", 1e-6, "code grpo_example.yaml"),
        (f"{ADAM}.weight_decay", 0.01, "code grpo_example.yaml"),
        (SCHEDULE, None, "default EasyR1: constant"),
        ("data.batch_size", 16, "code run_qwen2_5_vl_3b_tvg.sh"),
    ),
    "rewards/tempr1": ((f"{GRPO}.reward.init_args.tasks.temporal_grounding_spans.init_args.rewards.1.init_args",
                        {"kind": "matching", "sigma": 1.0}, "note"),),
    "rewards/lengths": (
        (f"{GRPO}.reward.init_args.rewards.1.init_args.right", [1.0, 0.5], "code Open-R1"),
        (f"{GRPO}.reward.init_args.rewards.1.init_args.wrong", [-1.0, -0.5], "code Open-R1"),
    ),
    "rewards/sage": (),  # the idea is published, no number
    "rewards/svqa_r1": (),
    "losses/bnpo": (loss("BNPOLoss"),),
    "losses/cispo": (loss("CISPOLoss"),),
    "losses/dapo": (
        loss("DAPOLoss"), *clipped(0.2, 0.28), NO_KL, (f"{GRPO}.num_completions", 16, "paper"),
        (f"{GRPO}.mask_truncated", True, "paper"),
        (f"{GRPO}.reward.init_args.rewards.2.init_args.cache", round(1024 * 4096 / 20480), "paper: a fifth"),
    ),
    "losses/dr_grpo": (loss("DrGRPOLoss"), advantages("MeanOnlyAdvantages")),
    "losses/dual_clip": (loss("GRPOLoss"), (f"{LOSS}.dual_clip", 3.0, "paper")),
    "losses/dft": (("model.sft.weigh_by_probability", True, "paper"),),
    "losses/ema_grpo": (
        advantages("RunningStdAdvantages"),
        (f"{GRPO}.advantages.init_args", {"decay": 0.99, "least_std": 0.001, "largest": 5.0}, "code OneThinker"),
    ),
    "losses/gdpo": (advantages("GDPOAdvantages"),),
    "losses/gmpo": (loss("GMPOLoss"), *clipped(0.4, 0.4)),
    "losses/grpo": (loss("GRPOLoss"), advantages("GroupAdvantages")),
    "losses/gspo": (loss("GSPOLoss"), *clipped(3e-4, 4e-4), NO_KL, (f"{GRPO}.updates_per_rollout", 4, "paper")),
    "losses/lite_ppo": (loss("DAPOLoss"), advantages("BatchStdAdvantages")),
    "losses/luspo": (loss("LUSPOLoss"), *clipped(2e-3, 2.5e-3, "code TRL")),
    "losses/masked_importance": (
        (f"{GRPO}.correction.init_args", {"low": 0.5, "high": 5.0, "level": "token"}, "paper IcePop"),
    ),
    "losses/reinforce_plus_plus": (
        advantages("GlobalAdvantages"), (f"{LOSS}.kl.class_path", "remot.losses.K2", "paper"),
    ),
    "losses/rloo": (advantages("LeaveOneOutAdvantages"),),
    "losses/sapo": (
        loss("SAPOLoss"), (f"{LOSS}.temperature_positive", 1.0, "paper"),
        (f"{LOSS}.temperature_negative", 1.05, "paper"),
    ),
    "losses/scalerl_cispo": (loss("ScaleRLCISPOLoss"), (f"{LOSS}.max_weight", 5.0, "code TRL")),
    "losses/visd": (
        (f"{GRPO}.teacher", {"strength": 0.5, "decay_steps": 600, "clip": 0.2, "average": 0.01}, "note"),
    ),
    "losses/distillation": (
        loss("NoPolicyLoss"), NO_KL, (f"{GRPO}.teacher.distillation", {"beta": 0.5, "weight": 1.0}, "code TRL"),
        (f"{GRPO}.teacher.average", 0.05, "code TRL"),
    ),
    "losses/truncated_importance": (
        (f"{GRPO}.correction.init_args", {"limit": 2.0, "level": "token"}, "paper TIS, verl"),
    ),
    "losses/two_sided": (
        (f"{LOSS}.delta", 4.0, "paper INTELLECT-2"),
        (f"{LOSS}.kl.class_path", "remot.losses.RatioCorrectedK3", "paper"),
    ),
}  # fmt: skip
#: Published constants that recipes leave to the defaults of their classes.
DEFAULTS = (
    (losses.GroupAdvantages, "eps", 1e-4, "code VideoChat-R1, SpaceR, Motion-o"),
    (losses.K3, "bound", None, "code VideoChat-R1, SpaceR: the estimate is not clamped"),
    (PostTrainingModule, "gradient_clip_norm", 1.0, "default TrainingArguments: VideoChat-R1"),
    (rewards.ShuffledFramesReward, "ratio", 0.8, "code SG_RLVR_trainer.py"),
    (rewards.ShuffledFramesReward, "bonus", 0.3, "code SG_RLVR_trainer.py"),
    (rewards.ShuffledFramesReward, "min_accuracy", 0.1, "code SG_RLVR_trainer.py"),
    (rewards.LengthBonusReward, "shortest", 320, "code SG_RLVR_trainer.py"),
    (rewards.LengthBonusReward, "longest", 512, "code SG_RLVR_trainer.py"),
    (rewards.LengthBonusReward, "bonus", 0.2, "code SG_RLVR_trainer.py"),
    (rewards.LengthBonusReward, "min_accuracy", 0.1, "code SG_RLVR_trainer.py"),
    (rewards.CognitiveMapReward, "gate", 0.5, "code SG-RLVR.py"),
    (rewards.CognitiveMapReward, "grid_size", 10, "code SG-RLVR.py"),
    (rewards.ReMoTReward, "format_weight", 3.5, "note"),
    (rewards.ReMoTReward, "accuracy_weight", 3.5, "note"),
    (rewards.ReMoTReward, "conciseness_weight", 1.3, "note"),
    (rewards.ReMoTReward, "logic_weight", 1.7, "note"),
    (rewards.TemporalRLTReward, "accuracy_weight", 0.5, "code tvg.py, r1v.py"),
    (rewards.TemporalRLTReward, "format_weight", 0.5, "code tvg.py, r1v.py"),
    (rewards.MotionTrajectoryReward, "max_gap_seconds", 2.0, "code motion_reward_v3.py"),
    (rewards.MotionTrajectoryReward, "fallback", 0.1, "code motion_reward_v3.py"),
    (FrozenFrames, "position", None, "code grpo_trainer_v3.py: the first frame, or the first key frame"),
    (FrozenFrames, "greedy", True, "code grpo_trainer_v3.py"),
)
#: Files without a published number: ours alone, or a run of another file on a CPU.
OURS = {"quickstart", "quickstart_best", "quickstart_long", "quickstart_revisits", "real_re10k"}
OURS |= {f"systems/quickstart_{name}" for name in ("learn", "no_graphs", "overrides")}


@cache
def written(name):
    return yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())


def at(config, path):
    """The value under a dotted path, list members by number; None if there is nothing."""
    for key in path.split("."):
        config = config[int(key)] if isinstance(config, list) else (config or {}).get(key)
    return config


@pytest.mark.parametrize("name", PUBLISHED)
def test_recipes_hold_what_is_published(name):
    """All values at once, so that a failure shows every one that departs."""
    held = {path: at(written(name), path) for path, _, _ in PUBLISHED[name]}
    assert held == {path: value for path, value, _ in PUBLISHED[name]}
    assert all(source for _, _, source in PUBLISHED[name])


@pytest.mark.parametrize(("kind", "name", "value", "source"), DEFAULTS)
def test_classes_have_published_defaults(kind, name, value, source):
    assert inspect.signature(kind).parameters[name].default == value, source


@pytest.mark.parametrize("name", [name for name in PUBLISHED if at(written(name), SCHEDULE)])
def test_schedules_end_with_the_run(name):
    """The fragments of configs/rewards run as long as the recipe below them, VideoChat-R1's."""
    steps = at(written(name), "trainer.max_steps") or at(written("systems/videochat_r1"), "trainer.max_steps")
    schedule = at(written(name), f"{SCHEDULE}.init_args")
    assert schedule.get("T_max", schedule.get("total_iters")) == steps


def test_every_bonus_of_spacer_is_given_to_every_kind_of_question():
    """``SG_RLVR_trainer.py`` adds both bonuses to whatever the accuracy is of."""
    for task, reward in at(written("systems/spacer"), f"{GRPO}.reward.init_args.tasks").items():
        kinds = [one["class_path"].rpartition(".")[2] for one in reward["init_args"]["rewards"]]
        assert kinds[-2:] == ["ShuffledFramesReward", "LengthBonusReward"], task
        assert reward["init_args"]["weights"] == [1.0] * 4


def test_every_recipe_is_in_the_table_and_on_the_page():
    folders = ("", "systems/", "rewards/", "losses/")
    files = {f"{folder}{path.stem}" for folder in folders for path in (CONFIGS / folder).glob("*.yaml")}
    assert files == set(PUBLISHED) | OURS
    page = (PROJECT / "docs" / "papers.md").read_text()
    assert [name for name in PUBLISHED if f"`configs/{name}.yaml`" not in page] == []
