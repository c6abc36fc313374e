"""Annotate a video: H.264 with persons drawn, and a JSON file with the results of every frame."""

import shutil
from pathlib import Path

import numpy as np

from posegauge import logs
from posegauge.backends.assemble import build_pipeline, thread_count
from posegauge.backends.base import auto_device
from posegauge.data.video_files import CODEC, read_clip
from posegauge.errors import PoseGaugeError, Unavailable
from posegauge.predict.video import annotate_video, has_variable_rate
from posegauge.store.files import SCHEMA_VERSION, sha256_file, sha256_json, write_json
from posegauge.store.provenance import collect
from posegauge.study import Artifact

log = logs.start(snakemake.log[0])
config = snakemake.params.config
source, output = Path(snakemake.input.video), Path(snakemake.output.video)
threads = thread_count(config["threads"], snakemake.threads)
runtime, device = snakemake.params.runtime, auto_device(snakemake.params.device)

clip = read_clip(source)
log.info("%s: %d×%d, %.3g frames/s, %s", source, clip.width, clip.height, clip.frame_rate, clip.codec)
try:
    pipeline = build_pipeline(
        config,
        Artifact(runtime, device, "fp16" if runtime == "tensorrt" else "fp32"),
        threads,
        {"detector": snakemake.input.detector, "pose": snakemake.input.pose},
    )
except Unavailable as error:
    raise PoseGaugeError(
        f"video: {runtime} on {device} does not run here: {error}; set video.runtime and video.device"
    ) from error
provenance = collect(config, pipeline.sessions, threads)
described = {"file_name": source.name, "sha256": sha256_file(source)}
folder = output.with_name(f".{output.name}.parts")
key = sha256_json(
    [
        described,
        provenance["artifacts"],
        provenance["backend"],
        config["pipeline"],
        snakemake.params.code,
    ]
)
every = config["pipeline"]["detect_every"]
records = annotate_video(pipeline, clip, output, folder, key, snakemake.params.title, detect_every=every)
latency_ms = [record["latency_ms"] for record in records]
write_json(
    snakemake.output.frames,
    {
        "schema_version": SCHEMA_VERSION,
        "kind": "video",
        "notice": config["notice"],
        "input": {
            **described,
            "codec": clip.codec,
            "width": clip.width,
            "height": clip.height,
            "rotation": clip.rotation,
            "frame_rate": float(clip.frame_rate),
            "variable_frame_rate": has_variable_rate(records),
            "time_base": str(clip.time_base),
        },
        "output": {"file_name": output.name, "codec": CODEC},
        "settings": config["pipeline"],
        "latency_ms_mean": np.mean(latency_ms),
        "latency_ms_p50": np.median(latency_ms),
        "fps": 1e3 / np.mean(latency_ms),
        "frames": records,
        "provenance": provenance,
    },
    "video.schema.yaml",
    indent=None,
)
shutil.rmtree(folder)
log.info("%s: %d frames, %.1f FPS; sound is not copied", output, len(records), 1e3 / np.mean(latency_ms))
