"""The small models of the repository, and scenes for them, for tests that need real networks."""

from dataclasses import replace
from pathlib import Path

from conftest import ROOT
from posegauge import backends
from posegauge.data.coco import filter_person_images
from posegauge.data.scenes.scenes import write_scenes
from posegauge.models.network import Network
from posegauge.pipeline.pipeline import Pipeline
from posegauge.pipeline.steps import Settings
from posegauge.store import files
from posegauge.study import Artifact

DETECTOR = Network(
    role="detector",
    name="RTMDet-nano (demo)",
    input_size=(320, 320),
    config="mmpose::demo/mmdetection_cfg/rtmdet_nano_320-8xb32_coco-person.py",
    checkpoint=str(ROOT / "data/demo/rtmdet_nano_demo.pth"),
)
POSE = Network(
    role="pose",
    name="RTMPose-t (demo)",
    input_size=(192, 256),
    config="mmpose::configs/body_2d_keypoint/rtmpose/coco/rtmpose-t_8xb256-420e_coco-256x192.py",
    checkpoint=str(ROOT / "data/demo/rtmpose_t_demo.pth"),
)


def described(*networks: Network) -> dict:
    """Return what a config's `models` says of networks: those of the demo, or those given."""
    return {
        network.role: {
            "name": network.name,
            "config": network.config,
            "checkpoint": network.checkpoint,
            "onnx": None,
            "input_size": list(network.input_size),
        }
        for network in networks or (DETECTOR, POSE)
    }


def written_scenes(folder: Path, count: int, empty: int, seed: int) -> dict[str, Path]:
    """Render scenes into a folder, `empty` of them without persons; return their files by purpose."""
    paths = {"images": folder / "images"}
    paths |= {name: folder / f"{name}.json" for name in ("annotations", "person_images")}
    write_scenes(paths["images"], paths["annotations"], count, empty, seed)
    files.write_json(paths["person_images"], filter_person_images(paths["annotations"], "scenes"))
    return paths


def torch_pipeline(settings: Settings) -> Pipeline:
    """Return the demo models in PyTorch, one thread."""
    sessions = [backends.load(network, Artifact("pytorch", "cpu"), 1) for network in (DETECTOR, POSE)]
    return Pipeline(*sessions, DETECTOR.input_size, POSE.input_size, settings)


def onnx_pipeline(folder, settings: Settings) -> Pipeline:
    """Return the demo models, exported into `folder`, in ONNX Runtime, one thread."""
    from posegauge.models.export import export_onnx

    sessions = []
    for network in (DETECTOR, POSE):
        path = folder / f"{network.role}.onnx"
        export_onnx(network, path, 17)
        sessions.append(backends.load(replace(network, onnx=str(path)), Artifact("onnxruntime", "cpu"), 1))
    return Pipeline(*sessions, DETECTOR.input_size, POSE.input_size, settings)
