"""Readers: a folder of annotated clips in some format in, :class:`~remot.structures.Clip` records out."""

from remot.data.annotations.base import AnnotationReader, ClipSource, FileReader
from remot.data.annotations.charades_sta import CharadesSTAReader
from remot.data.annotations.got10k import GOT10kListReader, GOT10kReader
from remot.data.annotations.kitti_tracking import KITTITrackingReader
from remot.data.annotations.layout import LayoutReader
from remot.data.annotations.mot import MOTReader
from remot.data.annotations.native import NativeReader, write_clip
from remot.data.annotations.otb import OTBReader
from remot.data.annotations.re10k import RealEstate10KReader
from remot.data.annotations.remot_jsonl import ReleasedPrompt, ReleasedSlot, parse_record

__all__ = [
    "AnnotationReader",
    "CharadesSTAReader",
    "ClipSource",
    "FileReader",
    "GOT10kListReader",
    "GOT10kReader",
    "KITTITrackingReader",
    "LayoutReader",
    "MOTReader",
    "NativeReader",
    "OTBReader",
    "RealEstate10KReader",
    "ReleasedPrompt",
    "ReleasedSlot",
    "parse_record",
    "write_clip",
]
