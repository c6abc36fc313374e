"""Time the pipeline beside other programs that run the same networks, and compare their keypoints."""

import tempfile
from pathlib import Path

from posegauge import logs
from posegauge.backends.assemble import build_pipeline, network, thread_count
from posegauge.data.coco import find_entry, read_annotations, read_entry
from posegauge.errors import Unavailable
from posegauge.measure import peers
from posegauge.pipeline.steps import Settings
from posegauge.score import intervals
from posegauge.store.files import SCHEMA_VERSION, read_json, write_json
from posegauge.store.provenance import collect
from posegauge.study import ROLES, SOURCE, Artifact

log = logs.start(snakemake.log[0])
config, protocol = snakemake.config, snakemake.params.peers
threads = thread_count(config["threads"], snakemake.threads)
settings = Settings(**config["pipeline"])
onnx = {role: snakemake.input[role] for role in ROLES}
networks = [network(config["models"], role) for role in ROLES]

entries = read_json(snakemake.input.person_images)["images"]
entry = find_entry(entries, snakemake.params.image or entries[0]["file_name"], "benchmark.image")
image = read_entry(snakemake.input.images, entry)
annotations = read_annotations(snakemake.input.annotations)
boxes = {count: peers.given_boxes(annotations, entries, entry, count) for count in protocol["persons"]}

pipeline = build_pipeline(config, Artifact("onnxruntime", "cpu"), threads, onnx)
with tempfile.TemporaryDirectory() as folder:
    makers = {
        "bare": lambda: peers.Bare(pipeline),
        peers.OURS: lambda: peers.Ours(pipeline),
        "rtmlib": lambda: peers.Rtmlib(
            peers.append_nms(onnx["detector"], Path(folder) / "nms.onnx", settings),
            onnx["pose"],
            (pipeline.detector_size, pipeline.pose_size),
            settings,
            threads,
        ),
        "study": lambda: peers.Study(pipeline),
        "pytorch": lambda: peers.Ours(build_pipeline(config, SOURCE, threads, onnx)),
        "mmpose": lambda: peers.MMPose(*networks, settings),
        "inferencer": lambda: peers.Inferencer(*networks, settings),
    }
    ways, reasons = {}, {}
    for name, make in makers.items():
        try:
            ways[name] = make()
        except Unavailable as error:
            reasons[name] = str(error)
            log.warning("%s: not run: %s", peers.WAYS[name].title, error)
    samples = peers.take_turns(ways, image, boxes, protocol["rounds"])
    agreement = peers.agreement(ways, image, boxes[max(boxes)])

result = {
    "schema_version": SCHEMA_VERSION,
    "kind": "peers",
    "device": "cpu",
    "threads": threads,
    "image": {key: entry[key] for key in ("file_name", "width", "height")},
    "persons": list(boxes),
    "rounds": protocol["rounds"],
    "ways": [
        {
            "way": name,
            "title": way.title,
            "runtime": way.runtime,
            "does": way.does,
            "status": "ok" if name in ways else "not run",
            "reason": reasons.get(name),
            "rows": [
                {
                    "pipeline": variant,
                    "persons": persons,
                    "latency_ms": taken,
                    "ratio": intervals.paired_ratio(
                        samples[peers.OURS, variant, persons],
                        taken,
                        config["bootstrap"]["resamples"],
                        config["seed"],
                    ),
                }
                for (of, variant, persons), taken in samples.items()
                if of == name
            ],
            "agreement": agreement.get(name),
        }
        for name, way in peers.WAYS.items()
    ],
    "provenance": collect(config, {"detector": pipeline.detector, "pose": pipeline.pose}, threads),
}
write_json(snakemake.output.peers, result, "peers.schema.yaml")
