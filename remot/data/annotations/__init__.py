"""Readers: a folder of annotated clips in some format in, :class:`~remot.structures.Clip` records out."""

from remot.data.annotations.base import AnnotationReader, ClipSource, FileReader
from remot.data.annotations.colmap import COLMAPReader
from remot.data.annotations.cutting import cut
from remot.data.annotations.euroc import EuRoCReader
from remot.data.annotations.kitti import KITTIOdometryReader
from remot.data.annotations.native import NativeReader, write_clip
from remot.data.annotations.nerfstudio import NerfstudioReader
from remot.data.annotations.nuscenes import NuScenesReader
from remot.data.annotations.re10k import RealEstate10KReader
from remot.data.annotations.rgbd import ScanNetReader, SevenScenesReader
from remot.data.annotations.sequences import SequenceReader
from remot.data.annotations.tum import TUMReader

__all__ = [
    "AnnotationReader",
    "COLMAPReader",
    "ClipSource",
    "EuRoCReader",
    "FileReader",
    "KITTIOdometryReader",
    "NativeReader",
    "NerfstudioReader",
    "NuScenesReader",
    "RealEstate10KReader",
    "ScanNetReader",
    "SequenceReader",
    "SevenScenesReader",
    "TUMReader",
    "cut",
    "write_clip",
]
