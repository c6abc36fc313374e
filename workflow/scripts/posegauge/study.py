"""What the study consists of: its benchmark rows and its image conditions.

Names, titles and order are those of the published tables; `pytorch_pose_*` are the two rows that
the original lacks. Nothing heavy is imported here: the workflow reads this file to plan its jobs.
"""

from dataclasses import dataclass, replace

# The keys of the group `pipeline` that bear on one image; detect_every is for films alone.
PIPELINE_KEYS = (
    "pipeline.score_thr", "pipeline.bbox_thr", "pipeline.nms_thr", "pipeline.max_persons",
    "pipeline.person_thr", "pipeline.keypoint_thr", "pipeline.flip_test",
)  # fmt: skip


@dataclass(frozen=True)
class Artifact:
    """What runs the networks, and where the rest of the pipeline runs: what is compared with its source."""

    runtime: str  # pytorch | onnxruntime | openvino | tensorrt
    device: str  # cpu | cuda
    # fp32 | fp16 | int8 | bf16: the FP32 files, computed in bfloat16 by the runtime | int8_bf16: convolutions
    # in INT8, all else in bfloat16
    precision: str = "fp32"
    # plain; compiled: torch.compile with CUDA graphs; graph: a CUDA graph per input shape; tensorrt: ONNX
    # Runtime's TensorRT provider, as the study used it. See `captured`
    execution: str = "plain"
    images: str = "host"  # host | device: where letterbox, NMS, crops and decoding run

    @property
    def name(self) -> str:
        """The name for files and rules: onnxruntime_cuda_fp16_graph_device, say; defaults are left out."""
        parts = [self.runtime, self.device, self.precision]
        parts += [part for part, usual in ((self.execution, "plain"), (self.images, "host")) if part != usual]
        return "_".join(parts)

    @property
    def captured(self) -> bool:
        """Whether CUDA graphs run its networks; where its images are on the device, the other steps, too."""
        return self.device == "cuda" and self.execution in ("compiled", "graph")

    def fields(self) -> dict:
        """Return what a record says of it beside its name."""
        return {
            "runtime": self.runtime,
            "device": self.device,
            "precision": self.precision,
            "execution": self.execution,
            "images_on": self.images,
        }

    @property
    def onnx_precision(self) -> str | None:
        """The precision of the ONNX files that it runs; None where it runs the checkpoints themselves.

        A runtime makes bfloat16 of FP32 itself. OpenVINO's INT8 files have ranges in other places.
        """
        if self.runtime == "pytorch":
            return None
        if self.runtime == "openvino" and self.precision.startswith("int8"):
            return "int8_openvino"
        return "fp32" if self.precision == "bf16" else self.precision

    @property
    def config_keys(self) -> tuple[str, ...]:
        """The keys of the config that a pipeline of it reads."""
        keys = ("models", *PIPELINE_KEYS)
        if self.runtime == "tensorrt":
            return (*keys, "engine")
        if self.runtime == "onnxruntime" and self.device != "cpu":
            return (*keys, "execution.allow_fallback", "engine.pose_batches")
        return keys


@dataclass(frozen=True)
class Benchmark:
    """One row of the latency table."""

    title: str
    pipeline: str  # "full" (detect+pose) or "pose" (pose only, on annotated boxes)
    artifact: Artifact


# What all others are compared with: a network that has a checkpoint as SOURCE, one given as ONNX as GIVEN.
SOURCE = Artifact("pytorch", "cpu")


GIVEN = Artifact("onnxruntime", "cpu")


# The others of the study.
_PYTORCH_GPU = Artifact("pytorch", "cuda")


_ONNX_GPU = Artifact("onnxruntime", "cuda")


_TENSORRT = Artifact("tensorrt", "cuda", "fp16")


# What the study has not.
_PYTORCH_FP16 = Artifact("pytorch", "cuda", "fp16")


_PYTORCH_COMPILED = Artifact("pytorch", "cuda", "fp16", "compiled")


_ONNX_FP16 = Artifact("onnxruntime", "cuda", "fp16")


_ONNX_GRAPH = Artifact("onnxruntime", "cuda", "fp16", "graph")


_TENSORRT_GRAPH = replace(_TENSORRT, execution="graph")


_ONNX_TENSORRT = Artifact("onnxruntime", "cuda", "fp16", "tensorrt")


_OPENVINO = Artifact("openvino", "cpu")


# No row of its own: shows on any machine whether the FP16 file for the GPU's runtimes is still the model.
FP16_FILE = Artifact("onnxruntime", "cpu", "fp16")


# The rows of the published table, and the two that make its pose-only rows comparable.
STUDY_BENCHMARKS = {
    "pytorch_full_gpu": Benchmark("PyTorch Full GPU", "full", _PYTORCH_GPU),
    "pytorch_full_cpu": Benchmark("PyTorch Full CPU", "full", SOURCE),
    "onnx_full_gpu": Benchmark("ONNX Full GPU", "full", _ONNX_GPU),
    "onnx_full_cpu": Benchmark("ONNX Full CPU", "full", GIVEN),
    "pytorch_pose_gpu": Benchmark("PyTorch Pose GPU", "pose", _PYTORCH_GPU),
    "pytorch_pose_cpu": Benchmark("PyTorch Pose CPU", "pose", SOURCE),
    "onnx_pose_gpu": Benchmark("ONNX Pose GPU", "pose", _ONNX_GPU),
    "onnx_pose_cpu": Benchmark("ONNX Pose CPU", "pose", GIVEN),
    "tensorrt_full_fp16": Benchmark("TensorRT Full FP16", "full", _TENSORRT),
    "tensorrt_pose_fp16": Benchmark("TensorRT Pose FP16", "pose", _TENSORRT),
}


# Other ways to run the same networks. Those named `device` prepare images, cut crops and decode there.
FURTHER_BENCHMARKS = {
    "pytorch_fp16_full_gpu": Benchmark("PyTorch FP16 Full GPU", "full", _PYTORCH_FP16),
    "pytorch_compiled_full_gpu": Benchmark("PyTorch compiled FP16 Full GPU", "full", _PYTORCH_COMPILED),
    "onnx_fp16_full_gpu": Benchmark("ONNX FP16 Full GPU", "full", _ONNX_FP16),
    "onnx_graph_full_gpu": Benchmark("ONNX FP16 graph Full GPU", "full", _ONNX_GRAPH),
    "onnx_tensorrt_full_fp16": Benchmark("ONNX TensorRT Full FP16", "full", _ONNX_TENSORRT),
    "tensorrt_graph_full_fp16": Benchmark("TensorRT graph Full FP16", "full", _TENSORRT_GRAPH),
    "pytorch_device_full_gpu": Benchmark(
        "PyTorch Full GPU, all on device", "full", replace(_PYTORCH_GPU, images="device")
    ),
    "pytorch_compiled_device_full_gpu": Benchmark(
        "PyTorch compiled FP16 Full GPU, all on device", "full", replace(_PYTORCH_COMPILED, images="device")
    ),
    "onnx_graph_device_full_gpu": Benchmark(
        "ONNX FP16 graph Full GPU, all on device", "full", replace(_ONNX_GRAPH, images="device")
    ),
    "tensorrt_graph_device_full_fp16": Benchmark(
        "TensorRT graph Full FP16, all on device", "full", replace(_TENSORRT_GRAPH, images="device")
    ),
    "openvino_full_cpu": Benchmark("OpenVINO Full CPU", "full", _OPENVINO),
    "openvino_pose_cpu": Benchmark("OpenVINO Pose CPU", "pose", _OPENVINO),
    "onnx_int8_full_cpu": Benchmark("ONNX INT8 Full CPU", "full", replace(GIVEN, precision="int8")),
    "openvino_int8_full_cpu": Benchmark(
        "OpenVINO INT8 Full CPU", "full", replace(_OPENVINO, precision="int8")
    ),
    "pytorch_bf16_full_cpu": Benchmark("PyTorch BF16 Full CPU", "full", replace(SOURCE, precision="bf16")),
    "openvino_bf16_full_cpu": Benchmark(
        "OpenVINO BF16 Full CPU", "full", replace(_OPENVINO, precision="bf16")
    ),
    "openvino_int8_bf16_full_cpu": Benchmark(
        "OpenVINO INT8 + BF16 Full CPU", "full", replace(_OPENVINO, precision="int8_bf16")
    ),
}


BENCHMARKS = STUDY_BENCHMARKS | FURTHER_BENCHMARKS


ARTIFACTS = {row.artifact.name: row.artifact for row in BENCHMARKS.values()} | {FP16_FILE.name: FP16_FILE}


PIPELINE_TITLES = {"full": "detect+pose", "pose": "pose only"}


RUNTIME_TITLES = {
    "pytorch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "tensorrt": "TensorRT",
}


EXECUTION_TITLES = {
    "plain": "",
    "compiled": "torch.compile, CUDA graphs",
    "graph": "CUDA graph",
    "tensorrt": "TensorRT provider",
}


# What may set the ranges of INT8; see posegauge.settings.calibration_keys.
CALIBRATION_TITLES = {
    "scenes": "rendered scenes",
    "dataset": "images of the data set",
    "train2017": "images of COCO train2017",
    "folder": "images of a folder of the user's",
}


# copy: between the memories of host and device, within no other stage; 0 on the CPU.
STAGES = ("preprocess", "copy", "detect", "nms", "crop", "pose", "decode")


# What a person's box is when its pose is estimated, and with it which loss an AP shows.
BOX_SOURCES = {
    "detected": "detected on the corrupted image",
    "clean": "detected on the clean image",
    "annotated": "annotated",
}


# The predictions of a condition: one set per box source, and one made as the study made them.
PREDICTION_SETS = (*BOX_SOURCES, "original")


SUITES = {"study": "The study's conditions", "coco_c": "COCO-C"}


@dataclass(frozen=True)
class Condition:
    """One image condition: a corruption and its parameters."""

    title: str
    corruption: (
        str  # a function of posegauge.data.corruptions, or for the suite coco_c a name of that library
    )
    parameters: dict
    suite: str = "study"
    severity: int | None = None  # 1 to 5 in the suite coco_c


STUDY_CONDITIONS = {
    "clean": Condition("Clean (baseline)", "clean", {}),
    "motion_blur_light": Condition("Motion Blur Light", "motion_blur", {"kernel_px": 15}),
    "motion_blur_heavy": Condition("Motion Blur Heavy", "motion_blur", {"kernel_px": 30}),
    "low_light_moderate": Condition("Low Light Moderate", "low_light", {"gamma": 2.0}),
    "low_light_severe": Condition("Low Light Severe", "low_light", {"gamma": 4.0}),
    "overexposure": Condition("Overexposure", "overexposure", {"gain": 2.5}),
    "noise_moderate": Condition("Noise Moderate", "noise", {"sigma": 50.0}),
    "noise_heavy": Condition("Noise Heavy", "noise", {"sigma": 100.0}),
    "occlusion": Condition("Occlusion", "occlusion", {"patches": 30, "patch_fraction": 0.1}),
}


# Michaelis et al., Benchmarking Robustness in Object Detection (2019): 15 corruptions, severities 1 to 5.
COCO_C_CORRUPTIONS = {
    "gaussian_noise": "Gaussian Noise",
    "shot_noise": "Shot Noise",
    "impulse_noise": "Impulse Noise",
    "defocus_blur": "Defocus Blur",
    "glass_blur": "Glass Blur",
    "motion_blur": "Motion Blur",
    "zoom_blur": "Zoom Blur",
    "snow": "Snow",
    "frost": "Frost",
    "fog": "Fog",
    "brightness": "Brightness",
    "contrast": "Contrast",
    "elastic_transform": "Elastic Transform",
    "pixelate": "Pixelate",
    "jpeg_compression": "JPEG Compression",
}


SEVERITIES = (1, 2, 3, 4, 5)


def coco_c_name(corruption: str, severity: int) -> str:
    """Return the name of a condition of the suite coco_c: coco_c_fog_3."""
    return f"coco_c_{corruption}_{severity}"


COCO_C_CONDITIONS = {
    coco_c_name(corruption, severity): Condition(
        f"{title} {severity} (COCO-C)", corruption, {"severity": severity}, "coco_c", severity
    )
    for corruption, title in COCO_C_CORRUPTIONS.items()
    for severity in SEVERITIES
}


CONDITIONS = {**STUDY_CONDITIONS, **COCO_C_CONDITIONS}


ROLES = ("detector", "pose")


def sources(models: dict) -> dict[str, Artifact]:
    """Return, by role, what the networks of the config's `models` are compared with: SOURCE or GIVEN."""
    return {role: SOURCE if models[role]["checkpoint"] else GIVEN for role in ROLES}


def source_title(source: dict[str, str] | None) -> str:
    """Return what something is compared with, like 'PyTorch', for readers.

    source: {role: runtime} of a record; None of one from before it was told, which was always PyTorch.
    """
    runtimes = set(source.values()) if source else {SOURCE.runtime}
    if runtimes == {SOURCE.runtime}:
        return "PyTorch"
    if runtimes == {GIVEN.runtime}:
        return f"the given ONNX file{'s' if len(source) > 1 else ''} in ONNX Runtime"
    names = {SOURCE.runtime: "PyTorch", GIVEN.runtime: "the given ONNX file in ONNX Runtime"}
    return " and ".join(f"{names[runtime]} ({role})" for role, runtime in source.items())


NOTICE = (
    "Random weights, timing only: these numbers say how fast the networks are, not how well they see. "
    "Poses are estimated in annotated boxes."
)
