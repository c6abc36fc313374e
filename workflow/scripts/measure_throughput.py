"""Measure the images per second of the sweep against MMPose's inferencer on one image after the other."""

from posegauge import logs
from posegauge.backends.assemble import thread_count
from posegauge.measure.throughput import measure_throughput
from posegauge.store.files import write_json


def main():
    """See above."""
    log = logs.start(snakemake.log[0])
    config = snakemake.params.config
    threads = thread_count(config["threads"], snakemake.threads)
    result = measure_throughput(config, dict(snakemake.input.items()), threads)
    write_json(snakemake.output.throughput, result, "throughput.schema.yaml")
    for ratio in result["ratios"]:
        log.info("%s, %s: %.2f times the original", ratio["way"], ratio["condition"], ratio["ratio"])


# The processes that prepare the images import this file anew; they must not run it.
if __name__ == "__main__":
    main()
