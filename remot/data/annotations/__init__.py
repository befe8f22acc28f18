"""Readers: a folder of annotated clips in some format in, :class:`~remot.structures.Clip` records out."""

from remot.data.annotations.base import AnnotationReader, ClipSource, FileReader
from remot.data.annotations.cameras.colmap import COLMAPReader
from remot.data.annotations.cameras.cutting import cut
from remot.data.annotations.cameras.euroc import EuRoCReader
from remot.data.annotations.cameras.kitti_odometry import KITTIOdometryReader
from remot.data.annotations.cameras.nerfstudio import NerfstudioReader
from remot.data.annotations.cameras.nuscenes import NuScenesReader
from remot.data.annotations.cameras.re10k import RealEstate10KReader
from remot.data.annotations.cameras.rgbd import ScanNetReader, SevenScenesReader
from remot.data.annotations.cameras.sequences import SequenceReader
from remot.data.annotations.cameras.tum import TUMReader
from remot.data.annotations.games.game_log import GameLogReader
from remot.data.annotations.mixture import MixtureReader
from remot.data.annotations.native.masks import write_masks
from remot.data.annotations.native.reader import NativeReader
from remot.data.annotations.native.writer import write_annotation, write_clip
from remot.data.annotations.objects.charades_sta import CharadesSTAReader
from remot.data.annotations.objects.got10k import GOT10kListReader, GOT10kReader
from remot.data.annotations.objects.kitti_scenes import KITTISceneReader
from remot.data.annotations.objects.kitti_tracking import KITTITrackingReader
from remot.data.annotations.objects.layout import LayoutReader
from remot.data.annotations.objects.mot import MOTReader
from remot.data.annotations.objects.mot_scenes import MOTSceneReader
from remot.data.annotations.objects.otb import OTBReader
from remot.data.annotations.objects.sims_v import SIMSVReader
from remot.data.annotations.robots.agibot import AgiBotReader
from remot.data.annotations.robots.aloha import AlohaReader
from remot.data.annotations.robots.effector_poses import EffectorPosesReader
from remot.data.annotations.robots.lerobot import LeRobotReader
from remot.data.annotations.robots.lerobot_effectors import LeRobotEffector
from remot.data.annotations.robots.rlds import BridgeReader, DroidReader, RLDSEffector, RLDSReader

__all__ = [
    "AgiBotReader", "AlohaReader", "AnnotationReader", "BridgeReader", "COLMAPReader", "CharadesSTAReader",
    "ClipSource", "DroidReader", "EffectorPosesReader", "EuRoCReader", "FileReader", "GOT10kListReader",
    "GOT10kReader", "GameLogReader", "KITTIOdometryReader", "KITTISceneReader", "KITTITrackingReader",
    "LayoutReader", "LeRobotEffector", "LeRobotReader", "MOTReader", "MOTSceneReader", "MixtureReader", "NativeReader",
    "NerfstudioReader", "NuScenesReader", "OTBReader", "RLDSEffector", "RLDSReader", "RealEstate10KReader",
    "SIMSVReader", "ScanNetReader", "SequenceReader", "SevenScenesReader", "TUMReader", "cut", "write_annotation",
    "write_clip", "write_masks",
]  # fmt: skip
