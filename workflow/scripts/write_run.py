"""Write run.json: what was run, with what, and the sha256 of every file of the run."""

from pathlib import Path

from posegauge import logs
from posegauge.store import machine
from posegauge.store.files import SCHEMA_VERSION, read_json, sha256_file, sha256_json, write_json
from posegauge.store.provenance import DEFAULT_CONFIG, PACKAGES, REPOSITORY

log = logs.start(snakemake.log[0])
config = snakemake.params.config
target = Path(snakemake.output.run)
dataset = read_json(snakemake.input.person_images)
given = snakemake.input
measured = [*given.latency, *given.roofline, *given.records, *given.parity, *given.peers]
measured += [given.batches, given.cameras]
measured += [given.throughput] if given.get("throughput") else []
measured += [*given.detect_every] if given.get("detect_every") else []
same_hardware = machine.compare([read_json(path) for path in measured])
if warning := machine.difference(same_hardware):
    log.warning("%s", warning)
record = {
    "schema_version": SCHEMA_VERSION,
    "kind": "run",
    "run": target.parent.name,
    "notice": config["notice"],
    "config": config,
    "config_sha256": sha256_json(config),
    "config_files": [DEFAULT_CONFIG, *snakemake.params.overrides],
    "reproduce": snakemake.params.command,
    "git_revision": machine.git_revision(REPOSITORY),
    "machine": machine.fingerprint(),
    "hardware": same_hardware,
    "versions": machine.versions(*PACKAGES, "snakemake", "pandas", "matplotlib"),
    "models": {Path(path).stem: read_json(path) for path in snakemake.input.models},
    "dataset": {
        "name": dataset["dataset"],
        "annotations_sha256": dataset["annotations_sha256"],
        "notes": dataset["notes"],
        "images_total": dataset["images_total"],
        "person_images": dataset["person_images"],
        "images": len(dataset["images"]),
    },
    "files": {
        str(Path(path).relative_to(target.parent)): sha256_file(path)
        for path in sorted(snakemake.input)
        if Path(path).is_relative_to(target.parent)
    },
}
write_json(target, record, "run.schema.yaml")
log.info("%s: %d files", target, len(record["files"]))
