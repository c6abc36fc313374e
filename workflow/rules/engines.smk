"""Build the run's TensorRT engines, one rule per network: build_engine_detector, build_engine_pose.

Needs   results/<run>/models/<role>_fp16.onnx, and an NVIDIA GPU with TensorRT
Makes   results/<run>/engines/<role>.json, which names the engine and all that it depends on, or says why there is
        none. The engines lie beside it, undeclared: their names depend on the GPU of the machine that builds them,
        and a job that finds none for its own GPU builds one.
"""

for ROLE in ROLES:

    rule:
        name:
            f"build_engine_{ROLE}"
        input:
            onnx=network_file(ROLE, "fp16"),
            lib=expand("workflow/scripts/posegauge/{name}.py", name=["engines", "networks"]),
            schema="workflow/schemas/engine.schema.yaml",
        output:
            record=f"{RUN}/engines/{ROLE}.json",
        log:
            f"{RUN}/logs/build_engine_{ROLE}.log",
        benchmark:
            f"{RUN}/logs/build_engine_{ROLE}.jobcost.tsv"
        conda:
            conda_env("tensorrt", "cuda")
        # TensorRT chooses its kernels by timing them, so nothing may run beside it.
        threads: measuring_threads()
        resources:
            **needs(minutes=60, mem_mb=8000, device="cuda", alone=True),
        params:
            role=ROLE,
            model=config["models"][ROLE],
            engine=config["engine"],
        message:
            f"Build the TensorRT engine of the {ROLE}"
        script:
            "../scripts/build_engine.py"
