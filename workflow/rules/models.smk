"""Make the run's ONNX files, one rule per network: export_detector, export_pose.

Needs   a checkpoint (downloaded, or under data/demo/), the user's own ONNX file, or neither: random weights
Makes   results/<run>/models/<role>.onnx and its record <role>.json; with random weights before that the checkpoint
        <role>_random.pth, from which every runtime is made
"""

for ROLE in RANDOM_ROLES:

    rule:
        name:
            f"make_random_{ROLE}"
        input:
            images=images_dir(),
            person_images=person_images_file(),
            lib=expand(
                "workflow/scripts/posegauge/{name}.py",
                name=["random_weights", "models", "openmmlab", "pipeline"],
            ),
        output:
            checkpoint=f"{RUN}/models/{ROLE}_random.pth",
        log:
            f"{RUN}/logs/make_random_{ROLE}.log",
        conda:
            "../../envs/torch.yaml"
        threads: 1
        resources:
            **needs(minutes=30, mem_mb=4000),
        params:
            role=ROLE,
            model=config["models"][ROLE],
            seed=config["seed"],
            image=config["benchmark"]["image"],
        message:
            f"Draw random weights for the {ROLE}: timing only"
        script:
            "../scripts/make_random_weights.py"


for ROLE in ROLES:

    rule:
        name:
            f"export_{ROLE}"
        input:
            checkpoint=checkpoint(ROLE),
            onnx=given_onnx(ROLE),
            downloads=ancient("config/downloads.tsv"),
            lib=[*LIB_MODELS, "workflow/scripts/posegauge/export.py"],
            schema="workflow/schemas/model.schema.yaml",
        output:
            onnx=f"{RUN}/models/{ROLE}.onnx",
            record=f"{RUN}/models/{ROLE}.json",
        log:
            f"{RUN}/logs/export_{ROLE}.log",
        benchmark:
            f"{RUN}/logs/export_{ROLE}.jobcost.tsv"
        conda:
            "../../envs/torch.yaml"
        threads: 1
        resources:
            **needs(minutes=30, mem_mb=4000),
        params:
            role=ROLE,
            model=config["models"][ROLE],
            export=config["export"],
        message:
            f"Write the {ROLE} as ONNX"
        script:
            "../scripts/export_model.py"
