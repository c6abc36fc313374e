"""Measure the latency table, one rule per row: measure_pytorch_full_gpu, measure_onnx_full_cpu, ...

Needs   the ONNX files or checkpoints, one image
Makes   results/<run>/latency/<benchmark>.json with every raw sample, or the reason why the row did not run;
        with several processes before that results/<run>/latency/processes/<benchmark>.<n>.json, one for each
        (time_onnx_full_cpu_1, ...), which measure_onnx_full_cpu puts together
"""

PROCESSES = range(1, config["benchmark"]["processes"] + 1)
# One process is the row by itself: a second job would be nothing but its start.
ALONE = len(PROCESSES) == 1

for BENCHMARK in config["benchmarks"]:

    for PROCESS in PROCESSES:
        TIMING = f"measure_{BENCHMARK}" if ALONE else f"time_{BENCHMARK}_{PROCESS}"

        rule:
            name:
                TIMING
            input:
                **network_inputs(BENCHMARKS[BENCHMARK].artifact),
                annotations=annotations_file(),
                images=images_dir(),
                person_images=person_images_file(),
                lib=[
                    *LIB_MODELS,
                    *expand("workflow/scripts/posegauge/{name}.py", name=["timing", "gpu_monitor"]),
                ],
                schema="workflow/schemas/latency.schema.yaml",
            output:
                latency=f"{RUN}/latency/{BENCHMARK if ALONE else f'processes/{BENCHMARK}.{PROCESS}'}.json",
            log:
                f"{RUN}/logs/{TIMING}.log",
            benchmark:
                f"{RUN}/logs/{TIMING}.jobcost.tsv"
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
                # Not how many processes: asking for five instead of three keeps the three that were measured.
                protocol={key: config["benchmark"][key] for key in ("image", "warmup", "max_warmup", "runs")},
                pipeline=config["pipeline"],
                execution=config["execution"],
                threads=config["threads"],
            message:
                f"Measure {BENCHMARKS[BENCHMARK].title}, process {PROCESS} of {len(PROCESSES)}"
            script:
                "../scripts/measure_latency.py"

    if not ALONE:

        rule:
            name:
                f"measure_{BENCHMARK}"
            input:
                parts=expand(f"{RUN}/latency/processes/{BENCHMARK}.{{process}}.json", process=PROCESSES),
                lib="workflow/scripts/posegauge/timing.py",
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
                f"Put the processes of {BENCHMARKS[BENCHMARK].title} together"
            script:
                "../scripts/merge_latency.py"
