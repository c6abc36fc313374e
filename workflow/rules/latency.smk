"""Measure the latency table, one rule per row: measure_pytorch_full_gpu, measure_onnx_full_cpu, ...

Needs   the ONNX files or checkpoints, one image
Makes   results/<run>/latency/<benchmark>.json with every raw sample, or the reason why the row did not run
"""

for BENCHMARK in config["benchmarks"]:

    rule:
        name:
            f"measure_{BENCHMARK}"
        input:
            detector=f"{RUN}/models/detector.onnx",
            pose=f"{RUN}/models/pose.onnx",
            checkpoints=[*checkpoint("detector"), *checkpoint("pose")],
            annotations=annotations_file(),
            images=images_dir(),
            person_images=person_images_file(),
            lib=[*LIB_MODELS, "workflow/scripts/posebench/timing.py"],
            schema="workflow/schemas/latency.schema.yaml",
        output:
            latency=f"{RUN}/latency/{BENCHMARK}.json",
        log:
            f"{RUN}/logs/measure_{BENCHMARK}.log",
        benchmark:
            f"{RUN}/logs/measure_{BENCHMARK}.jobcost.tsv"
        conda:
            conda_env(BENCHMARKS[BENCHMARK].runtime, BENCHMARKS[BENCHMARK].device)
        # Nothing may run beside a measurement.
        threads: measuring_threads()
        resources:
            **needs(minutes=60, mem_mb=4000, device=BENCHMARKS[BENCHMARK].device, alone=True),
        params:
            benchmark=BENCHMARK,
            row=str(BENCHMARKS[BENCHMARK]),
            protocol=config["benchmark"],
            pipeline=config["pipeline"],
            threads=config["threads"],
        message:
            f"Measure {BENCHMARKS[BENCHMARK].title}"
        script:
            "../scripts/measure_latency.py"
