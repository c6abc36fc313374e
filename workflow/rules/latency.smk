"""Measure the latency table, one rule per row: measure_pytorch_full_gpu, measure_onnx_full_cpu, ...

Needs   the ONNX files or checkpoints, one image
Makes   results/<run>/latency/<benchmark>.json with every raw sample, or the reason why the row did not run;
        before that results/<run>/latency/processes/<benchmark>.<n>.json, one for each process
        (time_onnx_full_cpu_1, ...)
"""

PROCESSES = range(1, config["benchmark"]["processes"] + 1)

for BENCHMARK in config["benchmarks"]:

    for PROCESS in PROCESSES:

        rule:
            name:
                f"time_{BENCHMARK}_{PROCESS}"
            input:
                **network_inputs(BENCHMARKS[BENCHMARK].artifact),
                annotations=annotations_file(),
                images=images_dir(),
                person_images=person_images_file(),
                lib=[*LIB_MODELS, "workflow/scripts/posebench/timing.py"],
                schema="workflow/schemas/latency.schema.yaml",
            output:
                latency=f"{RUN}/latency/processes/{BENCHMARK}.{PROCESS}.json",
            log:
                f"{RUN}/logs/time_{BENCHMARK}_{PROCESS}.log",
            benchmark:
                f"{RUN}/logs/time_{BENCHMARK}_{PROCESS}.jobcost.tsv"
            # The first process of every row, then the second of every row: what drifts meets all rows alike.
            priority: len(PROCESSES) - PROCESS
            conda:
                conda_env(BENCHMARKS[BENCHMARK].artifact.runtime, BENCHMARKS[BENCHMARK].artifact.device)
            # Nothing may run beside a measurement.
            threads: measuring_threads()
            resources:
                **needs(minutes=60, mem_mb=4000, device=BENCHMARKS[BENCHMARK].artifact.device, alone=True),
            params:
                benchmark=BENCHMARK,
                row=str(BENCHMARKS[BENCHMARK]),
                # Not how many processes: asking for more keeps those that were measured.
                protocol={key: config["benchmark"][key] for key in ("image", "warmup", "runs")},
                pipeline=config["pipeline"],
                threads=config["threads"],
            message:
                f"Time {BENCHMARKS[BENCHMARK].title}, process {PROCESS} of {len(PROCESSES)}"
            script:
                "../scripts/measure_latency.py"

    rule:
        name:
            f"measure_{BENCHMARK}"
        input:
            parts=expand(f"{RUN}/latency/processes/{BENCHMARK}.{{process}}.json", process=PROCESSES),
            lib="workflow/scripts/posebench/timing.py",
            schema="workflow/schemas/latency.schema.yaml",
        output:
            latency=f"{RUN}/latency/{BENCHMARK}.json",
        log:
            f"{RUN}/logs/measure_{BENCHMARK}.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        message:
            f"Measure {BENCHMARKS[BENCHMARK].title}"
        script:
            "../scripts/merge_latency.py"
