"""Readers: a folder of annotated clips in some format in, :class:`~remot.structures.Clip` records out."""

from remot.data.annotations.agibot import AgiBotReader
from remot.data.annotations.aloha import AlohaReader
from remot.data.annotations.base import AnnotationReader, ClipSource, FileReader
from remot.data.annotations.lerobot import LeRobotReader
from remot.data.annotations.lerobot_effectors import LeRobotEffector
from remot.data.annotations.native import NativeReader, write_clip
from remot.data.annotations.re10k import RealEstate10KReader
from remot.data.annotations.rlds import BridgeReader, DroidReader, RLDSEffector, RLDSReader

__all__ = [
    "AgiBotReader",
    "AlohaReader",
    "AnnotationReader",
    "BridgeReader",
    "ClipSource",
    "DroidReader",
    "FileReader",
    "LeRobotEffector",
    "LeRobotReader",
    "NativeReader",
    "RLDSEffector",
    "RLDSReader",
    "RealEstate10KReader",
    "write_clip",
]
