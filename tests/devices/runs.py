"""Short runs that one process does on whole batches, or two on halves of them."""

from dataclasses import dataclass, field, replace
from functools import partial

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from remot.callbacks import HeldOutEvaluation
from remot.evaluation.benchmark import EvaluationSettings
from remot.losses import GRPOLoss
from remot.models import FullWeights, LoRA
from remot.strategies import AlternatingSFTGRPO, GRPOObjective, PolicySettings, PostTrainingModule, SFTObjective
from remot.strategies.grpo.dynamic_sampling import DynamicSampling
from remot.structures import PromptBatch, RewardOutput
from tests.strategies.grpo.test_objective import FirstLetterReward
from tests.strategies.test_module import Notebook, Resumable, make_trainer
from tests.tiny import make_batch, randomise_, select

NUM_PROMPTS = 4
SGD = partial(torch.optim.SGD, lr=0.05)
#: With so large an epsilon that rounding of small gradients is not blown up to whole steps.
ADAMW = partial(torch.optim.AdamW, lr=0.01, eps=0.1)


class SomeDiffer(FirstLetterReward):
    """Nothing to choose between for the first prompt of every batch: the halves have 1 and 2 groups to train on."""

    name = "some"

    def __call__(self, completions, questions):
        output = super().__call__(completions, questions)
        is_first = torch.tensor([question.prompt_id.endswith("-0") for question in questions])
        total = torch.where(is_first, 0.0, output.total + 3 * (torch.arange(len(questions)) % 3))
        return RewardOutput(total, {self.name: total}, total > 3)


def varied(batch):
    """Responses of different lengths: the halves have different numbers of tokens to learn."""
    questions = [
        replace(question, reasoning=" ".join([question.reasoning] * (1 + 2 * row)))
        for row, question in enumerate(batch.questions)
    ]
    return PromptBatch(batch.images, questions, batch.clip_ids)


class Dealt(LightningDataModule):
    """Batches of four prompts, of which each process gets its share; five held-out batches, dealt out in turn."""

    def _place(self):
        return self.trainer.global_rank, self.trainer.world_size

    def _train_batches(self):
        rank, world_size = self._place()
        share = NUM_PROMPTS // world_size
        first = self.trainer.fit_loop.epoch_loop.batch_progress.total.ready
        for number in range(first, 100):
            batch = varied(make_batch(NUM_PROMPTS, seed=number))
            yield select(batch, range(rank * share, (rank + 1) * share))

    def train_dataloader(self):
        data = self

        class Batches(torch.utils.data.IterableDataset):
            def __iter__(self):
                return data._train_batches()

        return Resumable(Batches(), batch_size=None)

    def val_dataloader(self):
        rank, world_size = self._place()
        batches = [make_batch(1 + number % 2, seed=50 + number) for number in range(5)]
        return DataLoader(batches[rank::world_size], batch_size=None)

    test_dataloader = predict_dataloader = val_dataloader

    def transfer_batch_to_device(self, batch, device, dataloader_idx):  # noqa: ARG002
        return batch


class Recorded(PostTrainingModule):
    """Keeps the norm of the gradients after each backward pass. Completions end at different lengths."""

    def configure_model(self):
        if self.policy is None:
            self.norms = []
            torch.manual_seed(0)  # what adapters begin with
        super().configure_model()

    def divide_policy(self):
        """Before the weights are divided: adapters that are not zero, and an end of turn that comes at any time."""
        randomise_((p for name, p in self.policy.named_parameters() if "lora_B" in name), seed=1)
        self.policy.logit_bias[self.policy.eos_token_ids[0]] = 4.0
        super().divide_policy()

    def manual_backward(self, loss):
        super().manual_backward(loss)
        gradients = [p.grad for p in self.policy.trainable_parameters() if p.grad is not None]
        self.norms.append(float(sum(whole(gradient).double().square().sum() for gradient in gradients)))


def whole(tensor):
    """A tensor of any process; all must call it."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


@dataclass
class Case:
    """What a run is made of."""

    folder: str  # of the model
    max_steps: int = 2
    adaptation: object = field(default_factory=lambda: LoRA(rank=2))
    policy: dict = field(default_factory=dict)
    source: dict = field(default_factory=dict)
    loss: object = field(default_factory=lambda: GRPOLoss(beta=0.05))
    grpo: dict = field(default_factory=lambda: {"dynamic_sampling": DynamicSampling(), "updates_per_rollout": 2})
    optimizer: object = SGD
    strategy: object = field(default_factory=lambda: AlternatingSFTGRPO(k_sft=1, k_grpo=2))

    def module(self):
        from remot.models import ModelSource

        settings = {"num_completions": 3, "max_new_tokens": 5, "loss": self.loss, "reward": SomeDiffer()}
        grpo = GRPOObjective(**settings | self.grpo)
        return Recorded(
            PolicySettings(ModelSource(self.folder, **self.source), self.adaptation, **self.policy),
            self.strategy,
            sft=SFTObjective(loss_on="response", letter_weight=0.5),
            grpo=grpo,
            optimizer=self.optimizer,
            micro_batch_prompts=1,
            gradient_clip_norm=0.5,
            evaluation=EvaluationSettings(max_new_tokens=4, num_completions=2),
        )


def weights(module):
    """Trained weights by name, whole; all processes must call it."""
    named = module.policy.named_parameters()
    return {name: whole(p.detach()).clone() for name, p in named if p.requires_grad}


def run(case, folder, *, ckpt_path=None, save_to=None, held_out=False, **trainer_settings):
    """Fit, and what became of it: metrics, weights, gradient norms, table."""
    notebook, module, data = Notebook(), case.module(), Dealt()
    evaluation = HeldOutEvaluation(enabled=held_out)
    settings = {"use_distributed_sampler": False, "callbacks": [evaluation], **trainer_settings}
    trainer = make_trainer(folder, logger=notebook, max_steps=case.max_steps, **settings)
    trainer.fit(module, data, ckpt_path=ckpt_path)
    if save_to is not None:
        trainer.save_checkpoint(save_to)
    found = {"logged": [dict(step) for step in notebook.logged], "weights": weights(module), "norms": module.norms}
    if held_out:
        found["base"] = evaluation.base.as_record()
        found["validated"] = trainer.validate(module, data, verbose=False)
    found["trained"] = module
    return found


FULL = {"adaptation": FullWeights(), "policy": {"train_vision": True, "gradient_checkpointing": True}}
