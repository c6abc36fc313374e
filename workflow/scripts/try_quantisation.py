"""Try the ways to INT8 and BF16 on the run's networks."""

import tempfile

from posegauge import logs
from posegauge.backends.assemble import prediction_threads
from posegauge.data.annotations import read_annotations
from posegauge.measure.parity import chosen_images
from posegauge.measure.quantisation import MOST_WORKERS, measure
from posegauge.models.int8 import calibration_entries
from posegauge.report.quantisation import text
from posegauge.store.files import read_json, write_json, write_text

log = logs.start(snakemake.log[0])
config, files, how = snakemake.params.config, dict(snakemake.input.items()), snakemake.params.calibration
entries = read_json(files["calibration_person_images"])["images"]
if how["from"] == "dataset":
    entries, _ = calibration_entries(entries, how["images"], how["compared"])
scored = {entry["file_name"] for entry in chosen_images(config, files)}
calibration = {
    "images": files["calibration_images"],
    "entries": entries,
    "annotations": read_annotations(files["calibration_annotations"]),
    "from": how["from"],
    "scored": sum(entry["file_name"] in scored for entry in entries) if how["from"] == "dataset" else 0,
}
threads = prediction_threads(config, snakemake.threads)
workers = min(snakemake.threads // threads, MOST_WORKERS)
with tempfile.TemporaryDirectory() as folder:
    record = measure(config, files, calibration, folder, threads, workers)
write_json(snakemake.output.record, record, "quantisation.schema.yaml")
write_text(snakemake.output.table, text(record, snakemake.params.title))
