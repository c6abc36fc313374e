"""What the study consists of: its benchmark rows and its image conditions.

Names, titles and order are those of the published tables; `pytorch_pose_*` are the two rows that
the original lacks. Nothing heavy is imported here: the workflow reads this file to plan its jobs.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Benchmark:
    """One row of the latency table."""

    title: str
    pipeline: str  # "full" (detect+pose) or "pose" (pose only, on annotated boxes)
    runtime: str  # pytorch | onnxruntime | tensorrt
    device: str  # cpu | cuda
    precision: str = "fp32"


BENCHMARKS = {
    "pytorch_full_gpu": Benchmark("PyTorch Full GPU", "full", "pytorch", "cuda"),
    "pytorch_full_cpu": Benchmark("PyTorch Full CPU", "full", "pytorch", "cpu"),
    "onnx_full_gpu": Benchmark("ONNX Full GPU", "full", "onnxruntime", "cuda"),
    "onnx_full_cpu": Benchmark("ONNX Full CPU", "full", "onnxruntime", "cpu"),
    "pytorch_pose_gpu": Benchmark("PyTorch Pose GPU", "pose", "pytorch", "cuda"),
    "pytorch_pose_cpu": Benchmark("PyTorch Pose CPU", "pose", "pytorch", "cpu"),
    "onnx_pose_gpu": Benchmark("ONNX Pose GPU", "pose", "onnxruntime", "cuda"),
    "onnx_pose_cpu": Benchmark("ONNX Pose CPU", "pose", "onnxruntime", "cpu"),
    "tensorrt_full_fp16": Benchmark("TensorRT Full FP16", "full", "tensorrt", "cuda", "fp16"),
    "tensorrt_pose_fp16": Benchmark("TensorRT Pose FP16", "pose", "tensorrt", "cuda", "fp16"),
}


def artifact_name(row: Benchmark) -> str:
    """Return the name of what a row runs, onnxruntime_cpu_fp32, say: what is compared with PyTorch."""
    return f"{row.runtime}_{row.device}_{row.precision}"


# The artifact that all others are compared with.
SOURCE_ARTIFACT = "pytorch_cpu_fp32"

PIPELINE_TITLES = {"full": "detect+pose", "pose": "pose only"}
RUNTIME_TITLES = {"pytorch": "PyTorch", "onnxruntime": "ONNX Runtime", "tensorrt": "TensorRT"}
STAGES = ("preprocess", "detect", "nms", "crop", "pose", "decode")


# What a person's box is when its pose is estimated, and with it which loss an AP shows.
BOX_SOURCES = {
    "detected": "detected on the corrupted image",
    "clean": "detected on the clean image",
    "annotated": "annotated",
}
# The predictions of a condition: one set per box source, and one made as the study made them.
PREDICTION_SETS = (*BOX_SOURCES, "study")

SUITES = {"study": "The study's conditions", "coco_c": "COCO-C"}


@dataclass(frozen=True)
class Condition:
    """One image condition: a corruption and its parameters."""

    title: str
    corruption: str  # a function of posebench.corruptions, or for the suite coco_c a name of that library
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
