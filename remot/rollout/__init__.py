"""Sampling completions: from the policy itself, token by token and reproducibly, or from a server."""

from remot.rollout.servers.backends import VLLM, SGLang, TransformersServe
from remot.rollout.servers.base import ExternalEngine
from remot.rollout.servers.engine import ServerEngine

__all__ = ["VLLM", "ExternalEngine", "SGLang", "ServerEngine", "TransformersServe"]
