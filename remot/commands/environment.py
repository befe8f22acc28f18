"""Environment variables by which launchers number processes, checked before libraries are imported that read them."""

import logging
import os
import warnings

from remot.errors import ConfigError

#: Read as numbers by Lightning and torch, some of them while they are imported.
NUMBERS = (
    "RANK",
    "LOCAL_RANK",
    "GROUP_RANK",
    "NODE_RANK",
    "WORLD_SIZE",
    "MASTER_PORT",
    "SLURM_PROCID",
    "SLURM_LOCALID",
    "SLURM_NODEID",
    "SLURM_NTASKS",
    "JSM_NAMESPACE_RANK",
    "PL_GLOBAL_SEED",
)


def require_numeric_variables() -> None:
    """Refuse variables that are no numbers.

    Raises:
        ConfigError: Naming the first of them.
    """
    for name in NUMBERS:
        value = os.environ.get(name)
        if value is not None and not value.isdecimal():
            msg = f"the environment variable {name} is {value!r:.80}, but has to be a number; correct it, or unset it"
            raise ConfigError(msg)


_IGNORED_WARNINGS = (
    ".*args parameter is intended to run from within Python.*",  # lightning: it is, by remot.cli.main(args)
    ".*isinstance.treespec, LeafSpec.*",  # lightning 2.6 with torch 2.13 and later
    ".*in eval mode at the start of training.*",  # lightning: the policy has no layer that differs between the modes
    ".*across ranks is zero.*",  # lightning: a run without a validation split is meant
    ".*does not have many workers.*",  # lightning: decoding three small images is cheap; data.num_workers says more
    ".*You are using a custom batch sampler .* for prediction.*",  # lightning: ours holds every prompt once
    ".*ModelCheckpoint with manual optimization.*",  # lightning: a checkpoint is meant to hold the updated weights
    ".*is_gradient_checkpointing. is deprecated.*",  # peft 0.21 with transformers 5
    ".*callbacks used to create the checkpoint.*",  # lightning: others are meant; ResumedCallbacks tells
    ".*Using ModelCheckpoint with manual optimization.*",  # lightning: the state after a step is what is continued from
    ".*Checkpoint directory .* exists and is not empty.*",  # lightning: a run's folder holds more than checkpoints
    ".*instantiate_classes.*deprecated.*",  # lightning 2.6 with jsonargparse 4.49 and later
)
_ADVERTISEMENT = "litlogger"
#: bitsandbytes: the adapter library imports it, 4-bit weights or not, and it misses a download that no one requested.
_MISSING_KERNELS = "kernels-community"


def quiet_libraries() -> None:
    """Ignore what is listed above: warnings, an advertisement for a service, and a missing download."""
    for message in _IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    for name in ("lightning.pytorch.utilities.rank_zero", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).addFilter(lambda record: _ADVERTISEMENT not in record.getMessage())
    bitsandbytes = logging.getLogger("bitsandbytes.backends.cpu.ops")
    bitsandbytes.addFilter(lambda record: _MISSING_KERNELS not in record.getMessage())
