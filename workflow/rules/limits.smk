"""Measure what each device can do at best, and count what the networks ask for: measure_limits_cpu, ..._cuda.

Needs   the ONNX files
Makes   results/<run>/limits/<device>.json, from which the floor of every latency row is made
"""

for DEVICE in DEVICES:

    rule:
        name:
            f"measure_limits_{DEVICE}"
        input:
            detector=f"{RUN}/models/detector.onnx",
            pose=f"{RUN}/models/pose.onnx",
            lib=expand(
                "workflow/scripts/posegauge/{name}.py", name=["limits", "machine_rates", "backends/base"]
            ),
            schema="workflow/schemas/limits.schema.yaml",
        output:
            limits=f"{RUN}/limits/{DEVICE}.json",
        log:
            f"{RUN}/logs/measure_limits_{DEVICE}.log",
        benchmark:
            f"{RUN}/logs/measure_limits_{DEVICE}.jobcost.tsv"
        conda:
            conda_env("pytorch", DEVICE)
        # Nothing may run beside a measurement.
        threads: measuring_threads()
        resources:
            **needs(minutes=15, mem_mb=6000, device=DEVICE, alone=True),
        params:
            device=DEVICE,
            models=config["models"],
            flip_test=config["pipeline"]["flip_test"],
            threads=config["threads"],
        message:
            f"Measure the limits of the device {DEVICE}"
        script:
            "../scripts/measure_limits.py"
