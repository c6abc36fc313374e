"""Write what the original study published as a folder like that of a run, every file marked as published."""

from pathlib import Path

from posegauge import logs
from posegauge.compare import published
from posegauge.store.files import sha256_file, write_json

log = logs.start(snakemake.log[0])
run = Path(snakemake.output.run)
facts = published.read_published(snakemake.input.facts)
records = published.make_records(facts)
for name, record in records.items():
    write_json(run.parent / name, record, published.SCHEMA)
hashes = {name: sha256_file(run.parent / name) for name in records}
write_json(run, published.make_run_record(facts, hashes), published.SCHEMA)
log.info("%s: %d files", run, len(records))
