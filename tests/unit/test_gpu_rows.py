"""The sessions of the GPU rows with our own networks, on the CPU: they find the persons that PyTorch does."""

from dataclasses import replace

import demo_models
import numpy as np
import pytest

from posegauge import backends
from posegauge.data.scenes.scenes import render_scene
from posegauge.models.export import export_onnx
from posegauge.pipeline.device_pipeline import DevicePipeline
from posegauge.pipeline.pipeline import Pipeline
from posegauge.pipeline.steps import Settings
from posegauge.study import Artifact

SETTINGS = Settings(score_thr=0.05)
NETWORKS = (demo_models.DETECTOR, demo_models.POSE)
ROWS = {
    "PyTorch, all on the device": Artifact("pytorch", "cpu", images="device"),
    "PyTorch FP16": Artifact("pytorch", "cpu", "fp16", images="device"),
    "ONNX with graphs": Artifact("onnxruntime", "cpu", execution="graph"),
    "ONNX FP16 with graphs, all on the device": Artifact("onnxruntime", "cpu", "fp16", "graph", "device"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict:
    """The networks with their ONNX files, by precision."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    folder = tmp_path_factory.mktemp("files")
    found = {"fp32": [], "fp16": []}
    for network in NETWORKS:
        paths = {precision: folder / f"{network.role}_{precision}.onnx" for precision in found}
        export_onnx(network, paths["fp32"], 17)
        half = convert_float_to_float16(onnx.load(str(paths["fp32"])), keep_io_types=True)
        onnx.save(half, str(paths["fp16"]))
        for precision, path in paths.items():
            found[precision].append(replace(network, onnx=str(path)))
    return found


@pytest.fixture(scope="module")
def scene():
    image, *_ = render_scene(seed=77, index=1, persons=3)
    persons = demo_models.torch_pipeline(SETTINGS)(image)
    assert len(persons) == 3
    return image, persons


@pytest.mark.parametrize("name", ROWS)
def test_a_row_finds_what_pytorch_finds(name, files, scene):
    image, expected = scene
    artifact = ROWS[name]
    sessions = [backends.load(network, artifact, 1) for network in files[artifact.precision]]
    parts = (*sessions, demo_models.DETECTOR.input_size, demo_models.POSE.input_size, SETTINGS)
    pipeline = DevicePipeline(*parts, "cpu") if artifact.images == "device" else Pipeline(*parts)
    persons = pipeline(image)
    assert len(persons) == len(expected)
    np.testing.assert_allclose(persons.bboxes, expected.bboxes, atol=1)
    distances = np.linalg.norm(persons.keypoints - expected.keypoints, axis=-1)
    assert np.percentile(distances, 90) < 1
    # Three persons are one batch: of four where shapes are fixed.
    told = [session.provenance() for session in sessions]
    if artifact.execution == "graph":
        assert [each["execution"]["graphs_for_batches"] for each in told] == [[1], [4]]
    assert all(each["precision"].startswith(artifact.precision.upper()) for each in told)
