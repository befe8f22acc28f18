"""Sampling completions: from the policy itself, token by token and reproducibly, or from a server."""

from remot.rollout.dialects import VLLM, SGLang, TransformersServe
from remot.rollout.external import ExternalEngine
from remot.rollout.server import ServerEngine

__all__ = ["VLLM", "ExternalEngine", "SGLang", "ServerEngine", "TransformersServe"]
