"""Environment variables by which launchers number processes, checked before libraries are imported that read them."""

import os

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
