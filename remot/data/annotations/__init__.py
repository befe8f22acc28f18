"""Readers: a folder of annotated clips in some format in, :class:`~remot.structures.Clip` records out."""

from remot.data.annotations.base import AnnotationReader, ClipSource, FileReader
from remot.data.annotations.game_log import GameLogReader
from remot.data.annotations.native import NativeReader
from remot.data.annotations.native_masks import write_masks
from remot.data.annotations.native_writer import write_annotation, write_clip
from remot.data.annotations.re10k import RealEstate10KReader

__all__ = [
    "AnnotationReader",
    "ClipSource",
    "FileReader",
    "GameLogReader",
    "NativeReader",
    "RealEstate10KReader",
    "write_annotation",
    "write_clip",
    "write_masks",
]
