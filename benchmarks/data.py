"""How fast images are decoded, prompts are made and an index is built, beside the alternatives, in one run.

Run ``python benchmarks/data.py``. The rows of torchcodec need ``torchcodec`` and FFmpeg; without them they are left
out, and the output notes it. All files it makes lie in a temporary folder.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from remot.data.annotations.native.reader import FORMAT, NativeReader, write_clip
from remot.data.clips.bundled import embedded_clips_root
from remot.data.datamodule import MotionDataModule
from remot.data.experts import CameraPitch, CameraYaw
from remot.data.media import probe, read_frames, write_video
from remot.data.tasks import MotionContrast
from remot.structures import Clip

SIZE = 256
#: Gives the images of one triplet: the clip and the numbers of its frames.
Decoder = Callable[[Clip, list[int]], list[Tensor]]
Triplet = tuple[Clip, list[int]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is asked for, print the tables and write the numbers."""
    options = _options(arguments)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    results: dict[str, Any] = {"machine": machine()}
    print("machine:", ", ".join(f"{key} {value}" for key, value in results["machine"].items()))
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        folder = Path(scratch)
        if "decode" in options.parts:
            results["decode"] = compare_decoders(options.root, folder, options.num_triplets, options.repeats)
        if "throughput" in options.parts:
            results["throughput"] = time_loaders(options.root, folder, options.num_batches, options.repeats)
        if "index" in options.parts:
            results["index"] = in_fresh_process(time_index, folder / "index", options.num_clips)
            print_index(results["index"])
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--root", type=Path, default=embedded_clips_root(), help="clips; those of the library if left out"
    )
    parser.add_argument("--json", type=Path, help="file to write the numbers to")
    parser.add_argument(
        "--parts", nargs="+", choices=("decode", "throughput", "index"), default=("decode", "throughput", "index")
    )
    parser.add_argument(
        "--num-triplets", type=int, default=20, help="triplets that each decoder decodes in each repeat"
    )
    parser.add_argument("--num-batches", type=int, default=30, help="batches of 8 prompts in each repeat")
    parser.add_argument("--num-clips", type=int, default=10_000, help="clips of 100 annotated frames in the index")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--scratch", type=Path, help="where the temporary folder is made")
    return parser.parse_args(arguments)


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    model = platform.processor() or "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "usable": usable,
        "load": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
        "av": av.__version__,
    }


# -- decoding ------------------------------------------------------------------------------------------------------


def compare_decoders(root: Path, folder: Path, num_triplets: int, repeats: int) -> list[dict[str, Any]]:
    """Milliseconds for each triplet, by kind of video, size and decoder."""
    decoders = {"remot": read_frames, "av, all until the last": decode_until} | torchcodec_decoders()
    print(f"\nthree random frames, milliseconds for a triplet: median (least to most) of {repeats} repeats of ")
    print(f"{num_triplets} triplets; processor time as a multiple of remot's, median over the pairs of one repeat")
    rows = []
    for kind, triplets in kinds_of_videos(root, folder, num_triplets).items():
        reference = [decode_all(clip, indices) for clip, indices in triplets]
        for size in ("native", SIZE):
            taken = interleaved(decoders, triplets, size, repeats)
            for name, decoder in decoders.items():
                gap = max(map(largest_difference, reference, [decoder(*triplet) for triplet in triplets]))
                pairs = zip(taken[name]["processor"], taken["remot"]["processor"], strict=True)
                row = {"video": kind, "size": size, "decoder": name, "largest_difference": gap} | taken[name]
                rows.append(row | {"times_remot": statistics.median(a / b for a, b in pairs)})
                print_decoder(rows[-1])
    return rows


def print_decoder(row: dict[str, Any]) -> None:
    """One line."""
    named = f"{row['video']:26} {row['size']!s:>6}  {row['decoder']:26}"
    print(
        f"{named} {summary(row['wall']):28} {row['times_remot']:5.2f}  largest difference {row['largest_difference']}"
    )


def kinds_of_videos(root: Path, folder: Path, num_triplets: int) -> dict[str, list[Triplet]]:
    """Random triplets of clips as they come, and of videos of two lengths as most encoders write them."""
    random = np.random.default_rng(0)
    clips = list(islice(NativeReader().read(root), 200))
    chosen = [clips[place] for place in random.integers(0, len(clips), num_triplets)]
    kinds = {"clips of --root": [(clip, triplet_of(random, clip.num_frames)) for clip in chosen]}
    for num_frames in (300, 3000):
        clip = moving_texture(folder / f"{num_frames}.mp4", num_frames)
        kinds[f"256 x 256, {num_frames} frames"] = [(clip, triplet_of(random, num_frames)) for _ in range(num_triplets)]
    return kinds


def triplet_of(random: np.random.Generator, num_frames: int) -> list[int]:
    """Three different frames in any order."""
    return [int(index) for index in random.choice(num_frames, 3, replace=False)]


def moving_texture(path: Path, num_frames: int, fps: int = 30) -> Clip:
    """A view that moves over a texture, encoded with the encoder's own choices: B-frames, 250 images to a group."""
    noise = torch.rand(1, 3, 64, 160, generator=torch.Generator().manual_seed(0))
    texture = (interpolate(noise, scale_factor=8, mode="bicubic").clamp(0, 1)[0] * 255).byte().permute(1, 2, 0).numpy()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt, stream.thread_count = SIZE, SIZE, "yuv420p", 1
        for number in range(num_frames):
            x, y = (round(span * (0.5 + 0.5 * np.sin(number / pace))) for span, pace in ((1024, 90), (256, 37)))
            image = np.ascontiguousarray(texture[y : y + SIZE, x : x + SIZE])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return Clip(path.stem, path.stem, "texture", path, probe(path).pts_seconds)


def decode_all(clip: Clip, indices: list[int]) -> list[Tensor]:
    """The reference: everything, in the order of presentation times."""
    assert isinstance(clip.media, Path)
    with av.open(str(clip.media)) as container:
        frames = sorted(container.decode(video=0), key=lambda frame: frame.pts or 0)
        times = np.array([float(((frame.pts or 0) - (frames[0].pts or 0)) * frame.time_base) for frame in frames])
        nearest = [int(np.abs(times - clip.frame_times_in_media[index]).argmin()) for index in indices]
        return [torch.from_numpy(frames[place].to_ndarray(format="rgb24").copy()).permute(2, 0, 1) for place in nearest]


def decode_until(clip: Clip, indices: list[int]) -> list[Tensor]:
    """What a first version of a reader does: count images from the start until the last that is wanted."""
    found: dict[int, Tensor] = {}
    with av.open(str(clip.media)) as container:
        container.streams.video[0].thread_type = "NONE"
        for number, frame in enumerate(container.decode(video=0)):
            if number in indices:
                found[number] = torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1).contiguous()
                if len(found) == len(indices):
                    break
    return [found[index] for index in indices]


def torchcodec_decoders() -> dict[str, Decoder]:
    """Three ways of using torchcodec, or none if it cannot be used here."""
    try:
        import torchcodec
        from torchcodec.decoders import VideoDecoder

        VideoDecoder(str(next(embedded_clips_root().glob("*.mp4"))))
    except (ImportError, RuntimeError, OSError) as error:
        print(f"\ntorchcodec cannot be used here and is left out: {str(error).strip().splitlines()[0]}")
        return {}
    print(f"\ntorchcodec {torchcodec.__version__}")

    def by_number(mode: str) -> Decoder:
        def decode(clip: Clip, indices: list[int]) -> list[Tensor]:
            return list(VideoDecoder(str(clip.media), seek_mode=mode).get_frames_at(indices).data.contiguous())

        return decode

    def by_time(clip: Clip, indices: list[int]) -> list[Tensor]:
        half = float(np.diff(clip.frame_times_in_media).min()) / 2
        shown = [float(clip.frame_times_in_media[index]) + half for index in indices]
        return list(VideoDecoder(str(clip.media), seek_mode="exact").get_frames_played_at(shown).data.contiguous())

    return {
        "torchcodec exact": by_number("exact"),
        "torchcodec approximate": by_number("approximate"),
        "torchcodec exact, by time": by_time,
    }


def interleaved(
    decoders: dict[str, Decoder], triplets: list[Triplet], size: int | str, repeats: int
) -> dict[str, dict[str, list[float]]]:
    """Milliseconds for a triplet in each repeat, by the clock on the wall and of the processor.

    The decoders take turns, so that all see the same machine.
    """
    taken: dict[str, dict[str, list[float]]] = {name: {"wall": [], "processor": []} for name in decoders}
    for repeat in range(repeats + 1):
        for name, decoder in decoders.items():
            wall, processor = time.perf_counter(), time.process_time()
            for clip, indices in triplets:
                resized(decoder(clip, indices), size)
            if repeat:  # the first round warms caches
                taken[name]["wall"].append((time.perf_counter() - wall) / len(triplets) * 1e3)
                taken[name]["processor"].append((time.process_time() - processor) / len(triplets) * 1e3)
    return taken


def resized(images: list[Tensor], size: int | str) -> list[Tensor]:
    """Images of ``size`` x ``size`` pixels; as they are if that is what they have, or with "native"."""
    if not isinstance(size, int) or images[0].shape[-2:] == (size, size):
        return images
    scaled = interpolate(torch.stack(images), (size, size), mode="bilinear", antialias=True)
    return list(scaled)


def largest_difference(one: list[Tensor], other: list[Tensor]) -> int:
    """Between the values of two lists of images."""
    return max(int((a.int() - b.int()).abs().max()) for a, b in zip(one, other, strict=True))


# -- prompts -------------------------------------------------------------------------------------------------------


def time_loaders(root: Path, folder: Path, num_batches: int, repeats: int) -> list[dict[str, Any]]:
    """Prompts per second of a training loader over clips of 256 x 256 pixels."""
    scaled = upscaled(root, folder / "upscaled")
    print(f"\nprompts per second from {SIZE} x {SIZE} clips: median (least to most) of {repeats} repeats, batches of 8")
    rates: dict[int, list[float]] = {num_workers: [] for num_workers in (0, 1, 2)}
    for _ in range(repeats):
        for num_workers, measured in rates.items():
            measured.append(prompts_per_second(scaled, num_workers, num_batches))
    for num_workers, measured in rates.items():
        print(f"num_workers {num_workers}  {summary(measured, decimals=0)}")
    return [{"num_workers": num_workers, "prompts_per_second": measured} for num_workers, measured in rates.items()]


def upscaled(root: Path, folder: Path, num_clips: int = 84) -> Path:
    """The first clips below ``root`` with images, boxes and intrinsics for 256 x 256 pixels."""
    folder.mkdir()
    for clip in islice(NativeReader().read(root), num_clips):
        images = torch.stack(read_frames(clip, range(clip.num_frames)))
        scale = SIZE / np.array([images.shape[3], images.shape[2]])
        camera = clip.camera
        if camera is not None and camera.intrinsics is not None:
            camera = replace(camera, intrinsics=np.diag([*scale, 1.0]) @ camera.intrinsics)
        objects = {
            name: replace(track, boxes_xyxy=track.boxes_xyxy * np.tile(scale, 2))
            for name, track in clip.objects.items()
        }
        frames = torch.stack(resized(list(images), SIZE)).permute(0, 2, 3, 1).contiguous().numpy()
        larger = replace(clip, camera=camera, objects=objects, media_pts_seconds=None)
        write_clip(larger, frames, folder, fps=10, source="benchmark", licence="as the original")
    return folder


def prompts_per_second(root: Path, num_workers: int, num_batches: int) -> float:
    """Of one loader; its first batches, which start the workers and fill the caches, are not counted."""
    data = MotionDataModule(
        str(root), num_workers=num_workers, batch_size=8, num_train_prompts_per_epoch=8 * (num_batches + 4)
    )
    data.setup()
    batches = iter(data.train_dataloader())
    for _ in range(4):
        next(batches)
    start = time.perf_counter()
    num_prompts = sum(len(batch.questions) for batch in batches)
    return num_prompts / (time.perf_counter() - start)


# -- index ---------------------------------------------------------------------------------------------------------


def time_index(folder: Path, num_clips: int) -> dict[str, Any]:
    """Seconds of ``MotionDataModule.setup`` for the first and the second time, and the most memory it took.

    Included are the reading and checking of all annotations and the search for what can be asked, with the two camera
    experts. The check of the videos is included too, but all clips share one tiny video that lies in the system's file
    cache: reading as many videos from a disk or a network is not measured.
    """
    write_synthetic_annotations(folder, num_clips)
    before = peak_megabytes()
    wall, processor = [], []
    for _ in range(2):
        data = MotionDataModule(str(folder), tasks=[MotionContrast([CameraYaw(), CameraPitch()])])
        clock, used = time.perf_counter(), time.process_time()
        data.setup()
        wall.append(time.perf_counter() - clock)
        processor.append(time.process_time() - used)
    return {
        "num_frames": num_clips * 100,
        "wall_seconds": wall,
        "processor_seconds": processor,
        "megabytes_before": before,
        "peak_megabytes": peak_megabytes(),
        "annotation_megabytes": sum(file.stat().st_size for file in folder.glob("*.json")) / 2**20,
    }


def write_synthetic_annotations(folder: Path, num_clips: int, num_frames: int = 100) -> None:
    """Clips in which the camera wanders smoothly about two axes, all with the same tiny video."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    write_video(folder / "shared.mp4", random.integers(0, 255, (num_frames, 16, 16, 3), dtype=np.uint8), 10)
    times = np.round(np.arange(num_frames) / 10, 6).tolist()
    for number in range(num_clips):
        content = {
            "format": FORMAT,
            "id": f"clip-{number}",
            "scene": f"scene-{number // 4}",
            "domain": "synthetic",
            "media": "shared.mp4",
            "pts_seconds": times,
            "camera": {"camera_to_world": np.round(wandering_poses(random, num_frames), 6).reshape(-1, 16).tolist()},
        }
        (folder / f"clip-{number}.json").write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


def wandering_poses(random: np.random.Generator, num_frames: int) -> Any:  # noqa: ANN401
    """[N, 4, 4] camera-to-world: slow sums of sines for yaw, pitch and place."""
    phase = np.linspace(0, 2 * np.pi, num_frames)[:, None] * random.uniform(0.3, 1.5, 5) + random.uniform(0, 6, 5)
    yaw, pitch, *place = (np.sin(phase) * random.uniform(0, [0.5, 0.05, 1, 1, 1])).T
    poses = np.tile(np.eye(4), (num_frames, 1, 1))
    poses[:, 0, 0], poses[:, 0, 2] = np.cos(yaw), np.sin(yaw) * np.cos(pitch)
    poses[:, 0, 1], poses[:, 1, 1] = np.sin(yaw) * np.sin(pitch), np.cos(pitch)
    poses[:, 1, 2], poses[:, 2, 0] = -np.sin(pitch), -np.sin(yaw)
    poses[:, 2, 1], poses[:, 2, 2] = np.cos(yaw) * np.sin(pitch), np.cos(yaw) * np.cos(pitch)
    poses[:, :3, 3] = np.array(place).T
    return poses


def print_index(measured: dict[str, Any]) -> None:
    """One paragraph."""
    wall, processor = measured["wall_seconds"], measured["processor_seconds"]
    print(
        f"\nindex over {measured['num_frames']:,} annotated frames ({measured['annotation_megabytes']:.0f} MB of JSON, "
        f"one tiny video shared by all): first time {wall[0]:.1f} s ({processor[0]:.1f} s of the processor), second "
        f"time {wall[1]:.1f} s ({processor[1]:.1f} s), at most {measured['peak_megabytes']:.0f} MB of memory "
        f"({measured['megabytes_before']:.0f} MB of it before anything was read)"
    )


def in_fresh_process(task: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:  # noqa: ANN401
    """Run where nothing else has used memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(task, *arguments).result()


def peak_megabytes() -> float:
    """The most memory that this process has held."""
    unit = 2**20 if platform.system() == "Darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def summary(values: Sequence[float], decimals: int = 2) -> str:
    """Median and range."""
    low, middle, high = (f"{value:.{decimals}f}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle:>8} ({low} to {high})"


if __name__ == "__main__":
    main()
