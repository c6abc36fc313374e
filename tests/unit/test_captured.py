"""The pipeline's steps as CUDA graphs: on the CPU they are replayed in Python, on a GPU as they are."""

from dataclasses import replace
from types import SimpleNamespace

import fake_cuda
import numpy as np
import pytest
import torch
from fake_graphs import Boxes, FakeRecorder, Simcc
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from posegauge.backends import assemble
from posegauge.backends.base import Options
from posegauge.errors import Unavailable
from posegauge.pipeline import captured, device_pipeline, pipeline
from posegauge.pipeline import device_steps as ops
from posegauge.pipeline.captured import Captured
from posegauge.pipeline.device_pipeline import STEPS, DevicePipeline, DeviceSteps
from posegauge.pipeline.pipeline import StageClock
from posegauge.pipeline.steps import Settings
from posegauge.study import ARTIFACTS, Artifact

SIZES = (96, 96), (48, 64)
USUAL = Settings(score_thr=0.3, bbox_thr=0.6, nms_thr=0.3, max_persons=40)
BATCH = 4  # persons in a batch of the pose network


@pytest.fixture(autouse=True)
def recorders(monkeypatch):
    """The recorders that were made, one for each step that has graphs."""
    monkeypatch.setattr(FakeRecorder, "made", [])
    monkeypatch.setattr(captured, "Recorder", FakeRecorder)
    monkeypatch.setattr(pipeline, "MAX_POSE_BATCH", BATCH)
    return FakeRecorder.made


def pipelines(chosen: Settings = USUAL, boxes: int = 60, device: str = "cpu") -> list[DevicePipeline]:
    """A plain one and a captured one."""
    return [
        DevicePipeline(Boxes(boxes), Simcc(), *SIZES, chosen, device, captured=way) for way in (False, True)
    ]


def picture(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def boxes_of(count: int, seed: int) -> np.ndarray:
    low = np.random.default_rng(seed).uniform(-10, 60, (count, 2))
    return np.hstack([low, low + np.random.default_rng(seed + 1).uniform(5, 90, (count, 2))]).astype(
        np.float32
    )


def results(which: DevicePipeline, images, bboxes=None, always_detect: bool = False) -> list[np.ndarray]:
    return [
        array
        for persons in which.run(images, bboxes, always_detect)
        for array in (persons.bboxes, persons.bbox_scores, persons.keypoints, persons.keypoint_scores)
    ]


def assert_same_bytes(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        assert (one.shape, one.dtype, one.tobytes()) == (other.shape, other.dtype, other.tobytes())


def graphs(ours: DevicePipeline, key: str = "graphs") -> dict:
    return {name: step[key] for name, step in ours.steps.provenance()["cuda_graphs"].items()}


# --------------------------------------------------------------------------------------- the whole pipeline

SHAPES = ((64, 96), (96, 64), (120, 90))
one_image = st.tuples(st.sampled_from(SHAPES), st.integers(0, 2))
calls = st.lists(
    st.tuples(
        st.lists(one_image, min_size=1, max_size=3),
        st.none() | st.lists(st.sampled_from([0, 1, 2, BATCH + 1]), min_size=3, max_size=3),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


@given(calls, st.integers(1, 2), st.integers(1, 3))
@settings(deadline=None, max_examples=25)
def test_any_sequence_of_images_and_persons_gives_the_same_bytes(sequence, captured_call, places):
    with pytest.MonkeyPatch.context() as patch:
        # So that graphs soon exist, and soon give their places to others.
        patch.setattr(captured, "CAPTURED_CALL", captured_call)
        patch.setattr(captured, "MAX_GRAPHS", places)
        patch.setattr(captured, "IDLE_CALLS", 2)
        plain, ours = pipelines()
        found = []
        for images, counts, flip in sequence * 3:
            images = [picture(*shape, seed) for shape, seed in images]
            bboxes = counts and [boxes_of(count, count) for count in counts[: len(images)]]
            plain.settings = ours.settings = replace(USUAL, flip_test=flip)
            found.append([results(which, images, bboxes, True) for which in (ours, plain)])
        # At the end, so that nothing may change what was returned before.
        for one, other in found:
            assert_same_bytes(one, other)
        assert max(graphs(ours).values()) <= places
        assert all(graphs(ours, "captures")[step] > 0 for step in ("letterbox", "nms"))


def test_every_step_is_replayed_from_the_third_call_on():
    plain, ours = pipelines()
    for call in range(1, 6):
        image = picture(64, 96, seed=call)
        boxes = [boxes_of(3, call)]
        assert_same_bytes(results(ours, [image], boxes, True), results(plain, [image], boxes, True))
        made = 1 if call >= captured.CAPTURED_CALL else 0
        assert graphs(ours) == dict.fromkeys(STEPS, made)
        assert graphs(ours, "plain_calls") == dict.fromkeys(STEPS, min(call, 2))
        assert graphs(ours, "replays") == dict.fromkeys(STEPS, max(0, call - 2))
        assert ours.steps.builds == len(STEPS) * min(call, 3)
    assert plain.steps.provenance() == {"device": "cpu", "cuda_graphs": None}
    assert plain.steps.builds == 0


def test_a_crowd_of_several_batches_and_the_flip_test():
    plain, ours = pipelines(replace(USUAL, flip_test=True))
    images = [picture(64, 96, 1), picture(120, 90, 2)]
    for turn in range(5):
        # Two whole batches of persons: the poses of the first wait while the second is decoded.
        boxes = [boxes_of(BATCH + 1, turn), boxes_of(BATCH - 1, turn + 9)]
        assert_same_bytes(results(ours, images, boxes), results(plain, images, boxes))
    assert graphs(ours, "replays")["decode"] == 2 * 5 - 2


def test_boxes_outlive_the_next_images():
    found = []
    for which in pipelines():
        with which.steps.timed(StageClock()) as clock:
            batch, scales = which.steps.detector_input([torch.from_numpy(picture(64, 96, 1))])
            held = [which.find(batch + seed, scales, clock)[1][0] for seed in range(6)]
        found.append([(there.numpy(), *arrays) for there, *arrays in held])
    for one, other in zip(*found, strict=True):
        assert_same_bytes(one, other)
    assert len({one[0].tobytes() for one in found[0]}) == 6


def test_a_larger_image_may_move_where_images_lie():
    plain, ours = pipelines()
    small, large = picture(64, 96, 1), picture(120, 90, 2)
    for _ in range(4):
        results(ours, [small])
    before = ours.steps._bytes
    results(ours, [large])
    assert ours.steps._bytes[1].data_ptr() != before[1].data_ptr()
    with torch.inference_mode():
        for memory in before:
            memory.fill_(255)  # it is someone else's now
    small = picture(64, 96, 3)
    replays = graphs(ours, "replays")["letterbox"]
    assert_same_bytes(results(ours, [small]), results(plain, [small]))
    assert graphs(ours, "replays")["letterbox"] == replays + 1
    for memory in before:
        assert (memory == 255).all()


def test_nms_that_has_not_settled_goes_on_outside_of_the_graph(monkeypatch):
    # Each box overlaps the next: that the 41st is kept hangs on the first.
    low = torch.arange(50) * 1.0
    chain = {
        "boxes": torch.stack([low, low, low + 5, low + 5], 1)[None],
        "scores": torch.linspace(1, 0.5, 50)[None, :, None],
    }
    plain, ours = pipelines(replace(USUAL, bbox_thr=0.3))
    counted, greedy = [], ops.greedy_nms

    def outside(*arguments):
        assert not FakeRecorder.capturing
        counted.append(1)
        return greedy(*arguments)

    monkeypatch.setattr(ops, "greedy_nms", outside)
    for call in range(1, 6):
        for which in (plain, ours):
            which.detector.run_device = lambda batch: chain
        image = picture(96, 96, 1)
        assert_same_bytes(results(ours, [image]), results(plain, [image]))
        assert len(counted) == 2 * call
    assert graphs(ours, "replays")["nms"] == 3


def test_images_of_many_sizes_are_not_captured_each(recorders):
    plain, ours = pipelines()
    for width in range(40, 70):
        image = picture(60, width, width)
        assert_same_bytes(results(ours, [image], [boxes_of(2, 1)]), results(plain, [image], [boxes_of(2, 1)]))
    # The number of persons is the same for all, so what hangs on it alone has a graph.
    assert graphs(ours) == {"letterbox": 0, "nms": 0, "padded_box": 1, "crops": 0, "decode": 1}
    assert len(recorders) == 2


# ----------------------------------------------------------------------------------- one step, and its graphs


def double(*tensors, factor=2):
    return tuple(tensor * factor for tensor in tensors)


def of(*shape, value: float = 1.0, dtype=torch.float32):
    return torch.full(shape, value).to(dtype)


def called(step: Captured, times: int, *tensors, **options):
    for _ in range(times):
        outputs = step(double, *tensors, **options)
    return outputs


def test_shapes_types_and_options_have_graphs_of_their_own():
    step = Captured("double")
    ways = [((of(2),), {}), ((of(3),), {}), ((of(2, dtype=torch.int64),), {}), ((of(2),), {"factor": 3})]
    ways += [((of(2), of(3)), {}), ((of(3), of(2)), {})]
    for number, (tensors, options) in enumerate(ways, 1):
        outputs = called(step, 4, *tensors, **options)
        for output, tensor in zip(outputs, tensors, strict=True):
            assert torch.equal(output, tensor * options.get("factor", 2))
        assert step.provenance() == {
            "graphs": number, "captures": number, "replays": 2 * number, "plain_calls": 2 * number,
        }  # fmt: skip


def test_outputs_are_overwritten_unless_they_are_kept():
    for keep in (False, True):
        step = Captured("double", keep)
        called(step, 3, of(2))
        (first,) = step(double, of(2, value=5))
        (second,) = step(double, of(2, value=7))
        assert torch.equal(second, of(2, value=14))
        assert torch.equal(first, of(2, value=10)) == keep


def test_no_more_places_than_there_are_and_no_shape_in_turn_drives_out_another(monkeypatch):
    monkeypatch.setattr(captured, "MAX_GRAPHS", 4)
    step = Captured("double")
    for _ in range(50):
        for size in range(1, 8):
            assert torch.equal(step(double, of(size))[0], of(size, value=2))
    assert (step.provenance()["graphs"], step.captures) == (4, 4)


def test_a_graph_that_is_not_used_any_more_gives_its_place_away(monkeypatch, recorders):
    monkeypatch.setattr(captured, "MAX_GRAPHS", 2)
    monkeypatch.setattr(captured, "IDLE_CALLS", 10)
    step = Captured("double")
    called(step, 3, of(1))
    called(step, 3, of(2))
    called(step, 7, of(3))
    assert step.captures == 2
    called(step, 1, of(3))  # the last call of the first shape was 11 calls ago
    assert (step.provenance()["graphs"], step.captures) == (2, 3)
    called(step, 2, of(1))  # counted anew
    assert step.captures == 3
    assert len(recorders) == 1


def test_a_pool_that_has_lost_its_last_graph_is_not_used_again(monkeypatch, recorders):
    monkeypatch.setattr(captured, "MAX_GRAPHS", 1)
    monkeypatch.setattr(captured, "IDLE_CALLS", 0)
    step = Captured("double")
    called(step, 3, of(1))
    called(step, 3, of(2))
    assert (step.provenance()["graphs"], step.captures, len(recorders)) == (1, 2, 2)


def test_shapes_that_came_long_ago_are_forgotten(monkeypatch):
    monkeypatch.setattr(captured, "MAX_COUNTED", 5)
    step = Captured("double")
    for _ in range(3):
        for size in range(1, 8):
            step(double, of(size))
    assert step.captures == 0
    assert len(step._counted) == 5


def test_graphs_share_the_memory_of_inputs_of_the_same_shape():
    step = Captured("double")
    seen = []

    def remember(image, boxes):
        seen.append((image.data_ptr(), boxes.data_ptr()))
        return (image * len(boxes),)

    image = of(50)
    for count in (2, 3):
        for _ in range(4):
            step(remember, image, of(count))
    held = [pointers for pointers in seen if pointers[0] != image.data_ptr()]
    assert len({image for image, _ in held}) == 1
    assert len({boxes for _, boxes in held}) == 2


def test_a_capture_that_fails_names_the_step_and_the_first_error(monkeypatch):
    class Fails(FakeRecorder):
        def __call__(self, function):
            try:
                raise RuntimeError("operation not permitted when stream is capturing\nmore")
            finally:
                raise RuntimeError("operation failed due to a previous error during capture")

    monkeypatch.setattr(captured, "Recorder", Fails)
    step = Captured("crops")
    called(step, 2, of(2, 3))
    for _ in range(2):  # not given up silently
        with pytest.raises(
            Unavailable,
            match=r"^the step crops cannot be kept as a CUDA graph, inputs \[2, 3\]: RuntimeError: operation "
            r"not permitted when stream is capturing$",
        ):
            step(double, of(2, 3))
    assert step.provenance() == {"graphs": 0, "captures": 0, "replays": 0, "plain_calls": 2}


# --------------------------------------------------------------------------------------- what may be captured


class OnlyThere(TorchDispatchMode):
    """Every operation has all its tensors on the device. `meta` stands for it: there are no values there."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        outputs = operation(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves((args, kwargs, outputs)):
            if isinstance(tensor, torch.Tensor) and tensor.device.type != "meta":
                raise AssertionError(f"{operation} has a tensor on the {tensor.device}")
        return outputs


def there(*shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="meta")


def captured_functions() -> dict:
    """Each step as DeviceSteps calls it: (function, tensors, options), twice where it has two ways."""
    steps = DeviceSteps(*SIZES, "meta", captured=True)
    image, boxes, scales = there(64, 96, 3, dtype=torch.uint8), there(3, 4), [there(4), there(4)]
    steps._letterbox(image)  # an image has come before it is captured
    simcc = [there(3, 17, 384), there(3, 17, 512)]
    chosen = {"images": 2, "settings": USUAL}
    parts = [image, there(2, 2), there(2, 2), image, there(1, 2), there(1, 2)]
    return {
        "letterbox": (steps._resized, [image, image], {}),
        "nms": (steps._selected, [there(2, 900, 4), there(2, 900, 1), *scales], chosen),
        "nms of a network's own boxes": (steps._selected, [there(2, 50, 5), *scales], chosen),
        "padded_box": (steps._padded_box, [boxes], {}),
        "crops": (steps._crops, parts, {"mirrored": True}),
        "decode": (steps._decoded, [there(3, 2), there(3, 2), *simcc], {}),
        "decode with the flip test": (steps._decoded, [there(3, 2), there(3, 2), *simcc, *simcc], {}),
    }


@pytest.mark.parametrize("name", captured_functions())
def test_no_captured_step_waits_or_leaves_the_device(name):
    function, tensors, options = captured_functions()[name]
    with torch.inference_mode(), OnlyThere():
        outputs = function(*tensors, **options)
    assert isinstance(outputs, tuple) and all(output.is_meta for output in outputs)


@pytest.mark.parametrize(
    "forbidden",
    [
        lambda values: values[values > 0],
        lambda values: values.sum().item(),
        lambda values: values * torch.tensor([1.0, 2.0, 3.0, 4.0]).to(values.device),
        lambda values: ops.greedy_nms(values, values[:, 0] > 0, 0.5, 10),
        lambda values: values.cpu(),
    ],
    ids=["boolean mask", "item", "constant from the host", "greedy_nms", "copy to the host"],
)
def test_what_waits_would_be_noticed(forbidden):
    with pytest.raises((AssertionError, NotImplementedError, RuntimeError)), OnlyThere():
        forbidden(there(2, 4))


class Graphs(fake_cuda.FakeCuda):
    """torch.cuda while a graph is captured; it takes note of how."""

    def graph_pool_handle(self):
        return "a pool"

    def CUDAGraph(self):
        return SimpleNamespace(replay=lambda: self.log.append(f"replays on {self.current.name}"))

    def graph(self, graph, pool, stream, capture_error_mode):
        self.log.append(f"captures on {stream.name} in {pool}, {capture_error_mode}")
        return self.stream(stream)


def test_a_capture_warms_up_on_its_own_stream_between_the_callers_work(monkeypatch):
    monkeypatch.undo()  # the recorder itself
    cuda = Graphs()
    monkeypatch.setattr(captured, "torch", SimpleNamespace(cuda=cuda))
    replay, outputs = captured.Recorder()(lambda: cuda.log.append(f"runs on {cuda.current.name}") or ("out",))
    replay()
    assert outputs == ("out",)
    assert cuda.log == [
        "session waits for caller",
        *["runs on session"] * captured.WARMUP_RUNS,
        "captures on session in a pool, thread_local",
        "runs on session",
        "caller waits for session",
        "replays on caller",
    ]


# ------------------------------------------------------------------------------------------------- which rows


def test_the_rows_whose_networks_are_graphs_on_the_device_get_it():
    found = {
        name for name, artifact in ARTIFACTS.items() if artifact.captured and artifact.images == "device"
    }
    assert found == {
        "pytorch_cuda_fp16_compiled_device",
        "onnxruntime_cuda_fp16_graph_device",
        "tensorrt_cuda_fp16_graph_device",
    }
    assert not ARTIFACTS["pytorch_cuda_fp32_device"].captured
    assert not Artifact("onnxruntime", "cpu", "fp16", "graph", "device").captured


@pytest.mark.parametrize("execution", ["plain", "compiled", "graph"])
def test_a_pipeline_is_built_so(execution, monkeypatch):
    monkeypatch.setattr(assemble.backends, "load", lambda *_: Boxes())
    monkeypatch.setattr(assemble, "network", lambda *_: None)
    monkeypatch.setattr(assemble, "backend_options", lambda *_: Options())
    made = []
    monkeypatch.setattr(device_pipeline, "DevicePipeline", lambda *given: made.append(given))
    size = {"input_size": [320, 320]}
    config = {"models": {"detector": size, "pose": size}, "pipeline": {}}
    artifact = Artifact("pytorch", "cuda", "fp16", execution, "device")
    assemble.build_pipeline(config, artifact, 1, dict.fromkeys(("detector", "pose")))
    assert (made[0][5], made[0][7]) == ("cuda", execution != "plain")


# ---------------------------------------------------------------------------------------------- on a real GPU


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_the_bytes_are_the_same(monkeypatch):
    monkeypatch.undo()  # real graphs
    plain, ours = pipelines(device="cuda")
    for turn in range(6):
        for flip in (False, True):
            plain.settings = ours.settings = replace(USUAL, flip_test=flip)
            for images in ([picture(64, 96, turn)], [picture(120, 90, turn), picture(64, 96, turn + 1)]):
                for boxes in (None, [boxes_of(count, turn) for count in (6, 3)[: len(images)]]):
                    found = [results(which, images, boxes, True) for which in (ours, plain)]
                    assert_same_bytes(*found)
    assert all(count > 0 for count in graphs(ours).values())
    assert all(count > 2 for count in graphs(ours, "replays").values())
