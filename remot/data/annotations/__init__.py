"""Readers: a folder of annotated clips in some format in, :class:`~remot.structures.Clip` records out."""

from remot.data.annotations.base import AnnotationReader, CharadesSTAReader, ClipSource, FileReader, from, import, remot.data.annotations.charades_sta
from remot.data.annotations.colmap import COLMAPReader, cut, from, import, remot.data.annotations.cutting
from remot.data.annotations.euroc import EuRoCReader, KITTIOdometryReader, from, import, remot.data.annotations.kitti
from remot.data.annotations.got10k import GOT10kListReader, GOT10kReader, KITTITrackingReader, from, import, remot.data.annotations.kitti_tracking
from remot.data.annotations.layout import LayoutReader, MOTReader, from, import, remot.data.annotations.mot
from remot.data.annotations.native import NativeReader, NerfstudioReader, OTBReader, from, import, remot.data.annotations.nerfstudio, remot.data.annotations.otb, write_clip
from remot.data.annotations.nuscenes import NuScenesReader, RealEstate10KReader, from, import, remot.data.annotations.re10k
from remot.data.annotations.re10k import RealEstate10KReader, ReleasedPrompt, ReleasedSlot, from, import, parse_record, remot.data.annotations.remot_jsonl
from remot.data.annotations.rgbd import ScanNetReader, SequenceReader, SevenScenesReader, from, import, remot.data.annotations.sequences
from remot.data.annotations.tum import TUMReader

__all__ = [
    "AnnotationReader",
    "COLMAPReader",
    "CharadesSTAReader",
    "ClipSource",
    "EuRoCReader",
    "FileReader",
    "GOT10kListReader",
    "GOT10kReader",
    "KITTIOdometryReader",
    "KITTITrackingReader",
    "LayoutReader",
    "MOTReader",
    "NativeReader",
    "NerfstudioReader",
    "NuScenesReader",
    "OTBReader",
    "RealEstate10KReader",
    "ReleasedPrompt",
    "ReleasedSlot",
    "ScanNetReader",
    "SequenceReader",
    "SevenScenesReader",
    "TUMReader",
    "cut",
    "from",
    "import",
    "parse_record",
    "remot.data.annotations.charades_sta",
    "remot.data.annotations.cutting",
    "remot.data.annotations.kitti",
    "remot.data.annotations.kitti_tracking",
    "remot.data.annotations.mot",
    "remot.data.annotations.nerfstudio",
    "remot.data.annotations.otb",
    "remot.data.annotations.re10k",
    "remot.data.annotations.remot_jsonl",
    "remot.data.annotations.sequences",
    "write_clip",
]
