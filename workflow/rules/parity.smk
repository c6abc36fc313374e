"""Compare every artifact with PyTorch, one rule each: check_parity_onnxruntime_cpu_fp32, ...

Needs   the ONNX files, the checkpoints, person images and their annotations
Makes   results/<run>/parity/<artifact>.json with the differences, or the reason why nothing was compared
"""

for ARTIFACT in ARTIFACTS:

    rule:
        name:
            f"check_parity_{ARTIFACT}"
        input:
            **network_inputs(KNOWN_ARTIFACTS[ARTIFACT]),
            source=[*checkpoint("detector"), *checkpoint("pose")],
            annotations=annotations_file(),
            images=images_dir(),
            person_images=person_images_file(),
            lib=[
                *LIB_MODELS,
                *expand(
                    "workflow/scripts/posegauge/{name}.py",
                    name=["parity", "metrics", "bootstrap", "predictions"],
                ),
            ],
            schema="workflow/schemas/parity.schema.yaml",
        output:
            parity=f"{RUN}/parity/{ARTIFACT}.json",
        log:
            f"{RUN}/logs/check_parity_{ARTIFACT}.log",
        benchmark:
            f"{RUN}/logs/check_parity_{ARTIFACT}.jobcost.tsv"
        # PyTorch runs beside the artifact. Its environment has ONNX Runtime, that of CUDA has all runtimes.
        conda:
            conda_env("pytorch", ARTIFACT.split("_")[1])
        threads: measuring_threads()
        resources:
            **needs(minutes=240, mem_mb=6000, device=ARTIFACT.split("_")[1]),
        params:
            artifact=ARTIFACT,
            seed=config["seed"],
            resamples=config["bootstrap"]["resamples"],
            parity=config["parity"],
            pipeline=config["pipeline"],
            execution=config["execution"],
            unreadable=DATASET["unreadable"],
        message:
            f"Compare {ARTIFACT} with PyTorch"
        script:
            "../scripts/check_parity.py"
