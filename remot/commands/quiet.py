"""Silences what other libraries say that is no news to the user; each line names who says it and why."""

import logging
import warnings

_IGNORED_WARNINGS = (
    ".*args parameter is intended to run from within Python.*",  # lightning: it is, by remot.cli.main(args)
    ".*isinstance.treespec, LeafSpec.*",  # lightning 2.6 with torch 2.13 and later
    ".*in eval mode at the start of training.*",  # lightning: the policy has no layer that differs between the modes
    ".*across ranks is zero.*",  # lightning: a run without a validation split is meant
    ".*does not have many workers.*",  # lightning: decoding three small pictures is cheap; data.num_workers says more
    ".*You are using a custom batch sampler .* for prediction.*",  # lightning: ours holds every prompt once
    ".*ModelCheckpoint with manual optimization.*",  # lightning: a checkpoint is meant to hold the updated weights
    ".*is_gradient_checkpointing. is deprecated.*",  # peft 0.21 with transformers 5
    ".*callbacks used to create the checkpoint.*ModelCheckpoint.*",  # lightning: another interval of saving is meant
    ".*Using ModelCheckpoint with manual optimization.*",  # lightning: the state after a step is what is continued from
    ".*instantiate_classes.*deprecated.*",  # lightning 2.6 with jsonargparse 4.49 and later
)
_ADVERTISEMENT = "litlogger"
#: bitsandbytes: the adapter library imports it, 4-bit weights or not, and it misses a download that nobody asked for.
_MISSING_KERNELS = "kernels-community"


def quiet_libraries() -> None:
    """Ignore what is listed above: warnings, an advertisement for a service, and a missing download."""
    for message in _IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    for name in ("lightning.pytorch.utilities.rank_zero", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).addFilter(lambda record: _ADVERTISEMENT not in record.getMessage())
    bitsandbytes = logging.getLogger("bitsandbytes.backends.cpu.ops")
    bitsandbytes.addFilter(lambda record: _MISSING_KERNELS not in record.getMessage())
