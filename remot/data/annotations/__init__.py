"""Readers: a folder of annotated clips in some format in, :class:`~remot.structures.Clip` records out."""

from remot.data.annotations.agibot import AgiBotReader
from remot.data.annotations.aloha import AlohaReader
from remot.data.annotations.base import AnnotationReader, ClipSource, FileReader
from remot.data.annotations.charades_sta import CharadesSTAReader
from remot.data.annotations.colmap import COLMAPReader
from remot.data.annotations.cutting import cut
from remot.data.annotations.effector_poses import EffectorPosesReader
from remot.data.annotations.euroc import EuRoCReader
from remot.data.annotations.game_log import GameLogReader
from remot.data.annotations.got10k import GOT10kListReader, GOT10kReader
from remot.data.annotations.kitti import KITTIOdometryReader
from remot.data.annotations.kitti_scenes import KITTISceneReader
from remot.data.annotations.kitti_tracking import KITTITrackingReader
from remot.data.annotations.layout import LayoutReader
from remot.data.annotations.lerobot import LeRobotReader
from remot.data.annotations.lerobot_effectors import LeRobotEffector
from remot.data.annotations.mot import MOTReader
from remot.data.annotations.mot_scenes import MOTSceneReader
from remot.data.annotations.native import NativeReader
from remot.data.annotations.native_masks import write_masks
from remot.data.annotations.native_writer import write_annotation, write_clip
from remot.data.annotations.nerfstudio import NerfstudioReader
from remot.data.annotations.nuscenes import NuScenesReader
from remot.data.annotations.otb import OTBReader
from remot.data.annotations.re10k import RealEstate10KReader
from remot.data.annotations.remot_jsonl import ReleasedPrompt, ReleasedSlot, parse_record
from remot.data.annotations.rgbd import ScanNetReader, SevenScenesReader
from remot.data.annotations.rlds import BridgeReader, DroidReader, RLDSEffector, RLDSReader
from remot.data.annotations.sequences import SequenceReader
from remot.data.annotations.tum import TUMReader

__all__ = [
    "AgiBotReader",
    "AlohaReader",
    "AnnotationReader",
    "BridgeReader",
    "COLMAPReader",
    "CharadesSTAReader",
    "ClipSource",
    "DroidReader",
    "EffectorPosesReader",
    "EuRoCReader",
    "FileReader",
    "GOT10kListReader",
    "GOT10kReader",
    "GameLogReader",
    "KITTIOdometryReader",
    "KITTISceneReader",
    "KITTITrackingReader",
    "LayoutReader",
    "LeRobotEffector",
    "LeRobotReader",
    "MOTReader",
    "MOTSceneReader",
    "NativeReader",
    "NerfstudioReader",
    "NuScenesReader",
    "OTBReader",
    "RLDSEffector",
    "RLDSReader",
    "RealEstate10KReader",
    "ReleasedPrompt",
    "ReleasedSlot",
    "ScanNetReader",
    "SequenceReader",
    "SevenScenesReader",
    "TUMReader",
    "cut",
    "parse_record",
    "write_annotation",
    "write_clip",
    "write_masks",
]
