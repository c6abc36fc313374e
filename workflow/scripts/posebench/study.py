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

PIPELINE_TITLES = {"full": "detect+pose", "pose": "pose only"}
RUNTIME_TITLES = {"pytorch": "PyTorch", "onnxruntime": "ONNX Runtime", "tensorrt": "TensorRT"}
STAGES = ("preprocess", "detect", "nms", "crop", "pose", "decode")


@dataclass(frozen=True)
class Condition:
    """One image condition: a corruption of posebench.corruptions and its parameters."""

    title: str
    corruption: str
    parameters: dict


CONDITIONS = {
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
