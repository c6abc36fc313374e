"""Measure the latency table, one rule per row, what each device can do at best, and the sweep's images per second.

Needs   the ONNX files or checkpoints, person images and their annotations
Makes   results/<run>/latency/<benchmark>.json with every raw sample, or the reason why the row did not run
        (measure_pytorch_full_gpu, measure_onnx_full_cpu, ...); with several processes before that
        results/<run>/latency/processes/<benchmark>.<n>.json, one for each (time_onnx_full_cpu_1, ...), which
        measure_onnx_full_cpu puts together;
        results/<run>/roofline/<device>.json, from which the floor of every latency row is made;
        results/<run>/throughput.json: every turn of the sweep, against MMPose's inferencer
"""

PROCESSES = range(1, config["benchmark"]["processes"] + 1)
# One process is the row by itself: a second job would be nothing but its start.
ALONE = len(PROCESSES) == 1

for BENCHMARK in config["benchmarks"]:
    ARTIFACT = BENCHMARKS[BENCHMARK].artifact

    for PROCESS in PROCESSES:
        TIMING = f"measure_{BENCHMARK}" if ALONE else f"time_{BENCHMARK}_{PROCESS}"

        rule:
            name:
                TIMING
            input:
                **network_inputs(ARTIFACT),
                annotations=annotations_file(),
                images=images_dir(),
                person_images=person_images_file(),
            output:
                latency=f"{RUN}/latency/{BENCHMARK if ALONE else f'processes/{BENCHMARK}.{PROCESS}'}.json",
            log:
                f"{RUN}/logs/{TIMING}.log",
            benchmark:
                f"{RUN}/logs/{TIMING}.jobcost.tsv"
            # The first process of every row, then the second of every row: what drifts meets all rows alike.
            priority: len(PROCESSES) - PROCESS
            conda:
                conda_env(ARTIFACT.runtime, ARTIFACT.device)
            # Nothing may run beside a measurement.
            threads: measuring_threads()
            resources:
                **needs(minutes=60, mem_mb=4000, device=ARTIFACT.device, alone=True),
            params:
                benchmark=BENCHMARK,
                row=str(BENCHMARKS[BENCHMARK]),
                config=row_config(BENCHMARK),
                code=code("measure_latency", *runtimes(ARTIFACT), without=["study:BENCHMARKS"]),
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
            output:
                latency=f"{RUN}/latency/{BENCHMARK}.json",
            log:
                f"{RUN}/logs/measure_{BENCHMARK}.log",
            localrule: True
            conda:
                "../../envs/analysis.yaml"
            threads: 1
            params:
                code=code("merge_latency"),
            message:
                f"Put the processes of {BENCHMARKS[BENCHMARK].title} together"
            script:
                "../scripts/merge_latency.py"


rule measure_roofline:
    input:
        detector=network_file("detector"),
        pose=network_file("pose"),
    output:
        roofline=f"{RUN}/roofline/{{device}}.json",
    log:
        f"{RUN}/logs/measure_roofline_{{device}}.log",
    benchmark:
        f"{RUN}/logs/measure_roofline_{{device}}.jobcost.tsv"
    conda:
        torch_env
    # Nothing may run beside a measurement.
    threads: measuring_threads()
    resources:
        **needs_by(device_wildcard, minutes=15, mem_mb=6000, alone=True),
    params:
        config=chosen("models", "pipeline.flip_test", "threads"),
        code=code("measure_roofline"),
    message:
        "Measure what the device {wildcards.device} can do at best"
    script:
        "../scripts/measure_roofline.py"


rule measure_throughput:
    input:
        detector=network_file("detector"),
        pose=network_file("pose"),
        checkpoints=[*checkpoint("detector"), *checkpoint("pose")],
        images=images_dir(),
        annotations=annotations_file(),
        trained=trained_weights,
        person_images=person_images_file(),
    output:
        throughput=f"{RUN}/throughput.json",
    log:
        f"{RUN}/logs/measure_throughput.log",
    benchmark:
        f"{RUN}/logs/measure_throughput.jobcost.tsv"
    # Both runtimes run in one job; this environment has them both.
    conda:
        conda_env("pytorch", config["robustness"]["device"])
    # Nothing may run beside a measurement.
    threads: measuring_threads()
    resources:
        **needs(minutes=240, mem_mb=6000, device=config["robustness"]["device"], alone=True),
    params:
        config=chosen("robustness.device", "seed", "sweep", "threads", *runtime_keys(*SWEPT)),
        code=code("measure_throughput", *runtimes(*SWEPT)),
    message:
        "Measure the images per second of the sweep"
    script:
        "../scripts/measure_throughput.py"
