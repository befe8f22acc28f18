"""What a policy can ask before it answers: environments that reply to a turn with text and images."""

from remot.environments.base import Environment, Episode, Reply, TurnSettings
from remot.environments.frame_requests import FrameRequests
from remot.environments.second_look import SecondLook

__all__ = ["Environment", "Episode", "FrameRequests", "Reply", "SecondLook", "TurnSettings"]
