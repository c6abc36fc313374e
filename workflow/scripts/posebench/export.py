"""Export networks to ONNX and compare the file with its PyTorch source on real images."""

import contextlib
import io
import shutil
import warnings
from dataclasses import asdict, replace

import numpy as np

from posebench import backends
from posebench.backends.base import Network
from posebench.errors import PoseBenchError
from posebench.pipeline import decode_simcc, detector_input, padded_box, pose_input
from posebench.results import atomic_path, sha256_file

# Images with annotated persons on which an exported file is compared with its source.
PARITY_IMAGES = 8


def export_onnx(network: Network, path, opset: int) -> None:
    """Write the network as ONNX with a dynamic batch and, for the detector, a fixed image size.

    Inputs and outputs are named as in posebench.backends.base.Session. The file appears whole or not at all.
    """
    import onnx
    import torch

    from posebench import models

    module = models.build_network(network)
    width, height = network.input_size
    names = ["input", *module.output_names]
    with atomic_path(path) as temporary:
        # The exporter prints and warns at length about constants that are meant to be constant.
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                (torch.zeros(1, 3, height, width),),
                str(temporary),
                input_names=names[:1],
                output_names=names[1:],
                dynamic_axes={name: {0: "batch"} for name in names},
                opset_version=opset,
                dynamo=False,
            )
        onnx.checker.check_model(str(temporary), full_check=True)


def copy_onnx(network: Network, path) -> None:
    """Copy a given ONNX file to `path` after a check that it is a valid model."""
    import onnx

    try:
        onnx.checker.check_model(network.onnx, full_check=True)
    except FileNotFoundError as error:
        raise PoseBenchError(f"models.{network.role}.onnx: no file {network.onnx}") from error
    except Exception as error:  # onnx raises protobuf and checker errors of its own
        raise PoseBenchError(f"{network.onnx}: not a valid ONNX file: {error}") from error
    with atomic_path(path) as temporary:
        shutil.copyfile(network.onnx, temporary)


def compare_detectors(source, exported, network: Network, images: list[np.ndarray], score_thr: float) -> dict:
    """Compare two detector sessions.

    Args:
        source, exported: sessions of posebench.backends.
        images: uint8 BGR [H, W, 3].
        score_thr: only boxes that the source scores above this count; where there are none, all do.

    Returns:
        The largest differences of boxes (pixels of the network's input) and of scores.
    """
    box_diff = score_diff = 0.0
    boxes = 0
    for image in images:
        batch, _ = detector_input(image, network.input_size)
        ours, theirs = exported.run(batch), source.run(batch)
        above = theirs["scores"][0, :, 0] > score_thr
        boxes += int(above.sum())
        if above.any():
            difference = np.abs(ours["boxes"] - theirs["boxes"])[0, above]
            box_diff = max(box_diff, float(difference.max()))
        score_diff = max(score_diff, float(np.abs(ours["scores"] - theirs["scores"]).max()))
    return {
        "images": len(images),
        "boxes": boxes,
        "max_box_diff_px": box_diff,
        "max_score_diff": score_diff,
    }


def compare_poses(source, exported, network: Network, crops: list[tuple]) -> dict:
    """Compare two pose sessions on person crops.

    Args:
        source, exported: sessions of posebench.backends.
        crops: pairs of (image uint8 BGR [H, W, 3], bboxes float32 [N, 4] xyxy).

    Returns:
        The largest keypoint difference (pixels of the crop: one SimCC bin is .5) and SimCC difference.
    """
    keypoint_diff = simcc_diff = 0.0
    persons = 0
    for image, bboxes in crops:
        batch = pose_input(image, *padded_box(bboxes, network.input_size), network.input_size)
        ours, theirs = exported.run(batch), source.run(batch)
        axes = ("simcc_x", "simcc_y")
        simcc_diff = max(simcc_diff, *(float(np.abs(ours[axis] - theirs[axis]).max()) for axis in axes))
        points, _ = decode_simcc(*(ours[axis] for axis in axes))
        expected, _ = decode_simcc(*(theirs[axis] for axis in axes))
        keypoint_diff = max(keypoint_diff, float(np.linalg.norm(points - expected, axis=-1).max()))
        persons += len(bboxes)
    return {"persons": persons, "max_keypoint_diff_px": keypoint_diff, "max_simcc_diff": simcc_diff}


def check_parity(
    network: Network, onnx_path, crops: list[tuple], gates: dict, score_thr: float, threads: int
):
    """Compare the exported file with its source and raise PoseBenchError past a gate.

    Args:
        crops: pairs of (image, bboxes [N, 4] xyxy), as in compare_poses.
        gates: {"max_box_diff_px", "max_keypoint_diff_px"}, the largest differences allowed.

    Returns:
        The differences and the gate, for the model's record.
    """
    if not crops:
        raise PoseBenchError("no image with annotated persons to compare the exported model on")
    source = backends.load("pytorch", network, "cpu", threads)
    exported = backends.load("onnxruntime", replace(network, onnx=str(onnx_path)), "cpu", threads)
    if network.role == "detector":
        figures = compare_detectors(source, exported, network, [image for image, _ in crops], score_thr)
        key = "max_box_diff_px"
    else:
        figures = compare_poses(source, exported, network, crops)
        key = "max_keypoint_diff_px"
    if not figures[key] <= gates[key]:
        raise PoseBenchError(
            f"{onnx_path}: {key} between PyTorch and ONNX Runtime is {figures[key]:.4g}, "
            f"the gate export.{key} is {gates[key]:g}"
        )
    return {**figures, "gate_px": gates[key], "compared_with": "PyTorch CPU float32"}


def model_record(network: Network, onnx_path, parity: dict | None) -> dict:
    """Describe a network and its files, for results/<run>/models/<role>.json."""
    import onnx

    model = onnx.load(str(onnx_path))
    checkpoint = network.checkpoint
    return {
        "schema_version": 1,
        "kind": "model",
        "role": network.role,
        "name": network.name,
        "input_size": list(network.input_size),
        "source": "given ONNX file" if checkpoint is None else "exported by this workflow",
        "network": asdict(network),
        "checkpoint_sha256": None if checkpoint is None else sha256_file(checkpoint),
        "onnx": str(onnx_path),
        "onnx_sha256": sha256_file(onnx_path),
        "opset": model.opset_import[0].version,
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "parity": parity,
        "parity_note": "no PyTorch source to compare with" if parity is None else "",
    }
