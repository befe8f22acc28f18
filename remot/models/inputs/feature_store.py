"""Features of a frozen vision tower on disk, so that an image or video is encoded once for all updates and epochs.

A file is named by a SHA-256 of all that a feature depends on: the tensors that the vision tower is given, its weights
and configuration, and the precision of the pass. Other weights, sizes or precisions have other names, and a file also
holds a SHA-256 of its content: what comes back is what this tower computed for these pixels, or it is computed again.
"""

import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from remot.bounded_cache import BoundedCache
from remot.errors import ConfigError
from remot.files import cause_of, expanded, read_bounded
from remot.locks import locked
from remot.models.parts import tower_tensors

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LOG = logging.getLogger(__name__)

#: Part of every key; another number is another layout of files, or another way to compute.
FORMAT = 1
#: The tensor of a file that holds the hash of the others.
DIGEST = "sha256"
#: Locks of files; names share them. How long another process is waited for that writes one of the same lock.
NUM_LOCKS, LOCK_SECONDS = 64, 60.0
#: What an empty string and null become as paths.
NO_FOLDERS = ("", ".", "None")
#: Parts of a configuration that no feature depends on.
OTHER_SETTINGS = ("text_config", "_name_or_path", "transformers_version")

#: From ``image`` or ``video``, all tensors that the tower is given, and how to compute the features where they are not
#: there, to the features [visual tokens, H] of each level, on the device of these tensors.
ReadFeatures = Callable[[str, Mapping[str, Tensor], Callable[[], Sequence[Tensor]]], list[Tensor]]


@dataclass(frozen=True)
class FeatureStore:
    """Keep the features of images and videos on disk; only with a frozen vision tower.

    Args:
        folder: Made if it is missing. Runs and processes may share it, also those of other models.
        max_gigabytes: Most room that all files together take, in 10⁹ bytes; those not used for longest go first.

    Raises:
        ConfigError: If no folder is named, or ``max_gigabytes`` is no finite number above 0.
    """

    folder: Path
    max_gigabytes: float = 50.0

    def __post_init__(self) -> None:
        if str(self.folder) in NO_FOLDERS:
            msg = "model.policy.feature_store.folder names no folder; name one, or set feature_store: null for no store"
            raise ConfigError(msg)
        if not 0 < self.max_gigabytes * 10**9 < math.inf:
            key = "model.policy.feature_store.max_gigabytes"
            msg = f"{key} is {self.max_gigabytes}, give a finite number above 0, such as 50"
            raise ConfigError(msg)

    def cache(self) -> BoundedCache:
        """The files of the folder, which is made if it is missing: to be called before a model is loaded for nothing.

        A folder that may only be read will do.

        Raises:
            ConfigError: If the folder cannot be made, or is none.
        """
        try:
            folder, max_bytes = expanded(self.folder).resolve(), int(self.max_gigabytes * 10**9)
            cache = BoundedCache(folder, max_bytes, "model.policy.feature_store.max_gigabytes × 10⁹")
            cache.make_folders()
        except OSError as error:
            named = f"model.policy.feature_store.folder: {self.folder!s:.200} cannot be used ({cause_of(error)})"
            msg = f"{named}; choose a folder that can be written to"
            raise ConfigError(msg) from error
        return cache

    def require_usable(self, *, train_vision: bool) -> None:
        """Refuse, before a model is loaded, a tower that is trained and a folder that cannot be used.

        Raises:
            ConfigError: Naming the key.
        """
        if train_vision:
            refuse("the vision tower is trained (train_vision: true), so its features change with each step")
        self.cache()

    def open(self, model: "PreTrainedModel", *, train_vision: bool) -> "StoredFeatures":
        """The features of ``model`` and of its copies.

        Args:
            model: With adapters, if it has some.
            train_vision: The vision tower is to be trained.

        Raises:
            ConfigError: If the vision tower is trained or has adapters, or the folder cannot be written to.
        """
        stored = StoredFeatures(self)
        tensors = tower_tensors(model)
        has_adapters = any(".lora_" in name or ".modules_to_save." in name for name in tensors)
        if has_adapters and not train_vision:
            refuse("the vision tower has adapters, which the reference is computed without")
        if train_vision or any(tensor.requires_grad for tensor in tensors.values()):
            refuse("the vision tower is trained, so its features change with each step")
        return stored


class StoredFeatures:
    """The features of a policy's vision tower, read where they are there and computed where they are not.

    Args:
        settings: Where they are kept.

    Attributes:
        num_found: Images and videos, or prompts of families that are processed prompt by prompt, whose features were
            read.
        num_computed: Those whose features were computed.

    Raises:
        ConfigError: If the folder cannot be written to.
    """

    def __init__(self, settings: FeatureStore) -> None:
        self.folder = expanded(settings.folder).resolve()
        self._cache = settings.cache()
        self.num_found = self.num_computed = 0
        self._reported = (0, 0)
        self._towers: WeakKeyDictionary[PreTrainedModel, tuple[tuple[object, ...], str]] = WeakKeyDictionary()
        self._warned: set[str] = set()
        self._is_writable = True

    def metrics(self) -> dict[str, float]:
        """Images and videos found and computed since this was last asked."""
        found, computed = self.num_found - self._reported[0], self.num_computed - self._reported[1]
        self._reported = (self.num_found, self.num_computed)
        return {"feature_store/found": float(found), "feature_store/computed": float(computed)}

    def describe(self) -> str:
        """The folder, its size, and how often this process found something there, in one line."""
        used = (self._cache.used_bytes() or 0) / 10**9
        return f"{self.folder} ({used:.3g} GB; {self.num_found} found, {self.num_computed} computed)"

    def of(self, model: "PreTrainedModel") -> ReadFeatures:
        """What gives the features of a model's tower as it is now."""
        return partial(self._levels, self._tower_key(model))

    def _levels(
        self, tower: str, kind: str, inputs: Mapping[str, Tensor], compute: Callable[[], Sequence[Tensor]]
    ) -> list[Tensor]:
        """See :data:`ReadFeatures`; ``tower`` is its hash."""
        device = next(iter(inputs.values())).device
        key = _item_key(tower, kind, inputs, device.type)
        file = self._cache.root / key[:2] / f"{key}.safetensors"
        found = self._read(file, key)
        if found is not None:
            self.num_found += 1
            return [level.to(device) for level in found]
        self.num_computed += 1
        computed = list(compute())
        self._write(file, key, computed)
        return computed

    # -- keys ------------------------------------------------------------------------------------------------------

    def _tower_key(self, model: "PreTrainedModel") -> str:
        """Hash of the tower's weights and configuration, computed again where its tensors have changed."""
        tensors = tower_tensors(model)
        state = tuple(map(_state_of, tensors.values()))
        held = self._towers.get(model)
        if held is None or held[0] != state:
            held = (state, _tower_hash(model, tensors))
            self._towers[model] = held
        return held[1]

    # -- files -----------------------------------------------------------------------------------------------------

    def _read(self, file: Path, key: str) -> list[Tensor] | None:
        """The levels of a file; None if it is missing, or is damaged and has been removed."""
        try:
            levels = _parsed(self._content(file), key)
            with suppress(OSError):
                os.utime(file, ns=(time.time_ns(), file.stat().st_mtime_ns))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self._warn("damaged", f"{file.name} is damaged ({cause_of(error)}); such features are computed again")
            with suppress(OSError):
                file.unlink()
            return None
        return levels

    def _content(self, file: Path) -> bytes:
        num_bytes = file.stat().st_size
        if num_bytes > self._cache.max_bytes:
            msg = f"it has {num_bytes} bytes"
            raise ValueError(msg)
        return read_bounded(file, num_bytes)  # which are allocated

    def _write(self, file: Path, key: str, levels: Sequence[Tensor]) -> None:
        """Keep the levels, unless the disk is full: then the run goes on with what is there."""
        content = _as_bytes(key, levels)
        if len(content) > self._cache.max_bytes:
            self._warn("size", f"features of {len(content)} bytes are more than {self._cache.setting} and are not kept")
        elif self._is_writable:
            try:
                self._put(file, content, int(key[:8], 16) % NUM_LOCKS)
            except OSError as error:
                self._is_writable = False
                self._warn("write", f"cannot be written to ({cause_of(error)}); no further features are kept")

    def _put(self, file: Path, content: bytes, number: int) -> None:
        unfinished = self._cache.partial / str(number)
        with locked(self._cache.locks / str(number), LOCK_SECONDS):
            if file.exists():  # another process was faster
                return
            try:
                self._cache.reserve(len(content), unfinished)
                unfinished.write_bytes(content)
                file.parent.mkdir(exist_ok=True)
                unfinished.replace(file)
            except OSError:
                with suppress(OSError):
                    unfinished.unlink()
                raise

    def _warn(self, kind: str, text: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            _LOG.warning("feature store %s: %s", self.folder, text)


def refuse(reason: str) -> NoReturn:
    """Refuse a policy whose features cannot be kept.

    Raises:
        ConfigError: Always.
    """
    msg = f"model.policy.feature_store does not fit: {reason}; leave it out"
    raise ConfigError(msg)


def _state_of(tensor: Tensor) -> object:
    """What differs once a tensor holds other numbers: torch counts what is written into it."""
    return tensor.data_ptr(), tensor.dtype, 0 if tensor.is_inference() else tensor._version


def _tower_hash(model: "PreTrainedModel", tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of a tower: its class, configuration, release of transformers, and tensors."""
    import transformers

    config = {name: value for name, value in model.config.to_dict().items() if name not in OTHER_SETTINGS}
    vision = getattr(model.config, "vision_config", model.config)
    facts = [FORMAT, type(model).__name__, transformers.__version__, getattr(vision, "_attn_implementation", None)]
    return _hash_of([facts, config], tensors)


def _item_key(tower: str, kind: str, inputs: Mapping[str, Tensor], device_type: str) -> str:
    """SHA-256 of what a pass of the tower is given, and of the precision it computes in."""
    autocast = torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else None
    precision = [str(autocast), torch.get_float32_matmul_precision(), device_type]
    return _hash_of([tower, kind, precision], inputs)


def _hash_of(facts: object, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of facts, and of names, types, shapes and bytes of tensors."""
    shapes = [[name, str(tensor.dtype), list(tensor.shape)] for name, tensor in tensors.items()]
    text = json.dumps([facts, shapes], sort_keys=True, default=str, allow_nan=False)
    digest = hashlib.sha256(f"{text}\n".encode())
    for tensor in tensors.values():
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _as_bytes(key: str, levels: Sequence[Tensor]) -> bytes:
    """A safetensors file of the levels and their hash."""
    from safetensors.torch import save

    held = {str(k): level.detach().cpu().contiguous() for k, level in enumerate(levels)}
    digest = bytes.fromhex(_hash_of(key, held))
    return save({**held, DIGEST: torch.tensor(list(digest), dtype=torch.uint8)})


def _parsed(content: bytes, key: str) -> list[Tensor]:
    """The levels that :func:`_as_bytes` wrote under ``key``.

    Raises:
        ValueError: If they are not.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        held = load(content)
        digest = bytes(held.pop(DIGEST).tolist()).hex()
        levels = {str(k): held[str(k)] for k in range(len(held))}
        is_whole = digest == _hash_of(key, levels)
    except (SafetensorError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(str(error)) from error
    if not is_whole:
        msg = "its content has changed"
        raise ValueError(msg)
    return list(levels.values())
