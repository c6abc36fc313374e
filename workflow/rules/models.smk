"""Make the run's ONNX files, one rule per network: export_detector, export_pose.

Needs   a checkpoint (downloaded, or under data/demo/) or the user's own ONNX file
Makes   results/<run>/models/<role>.onnx and its record <role>.json
"""

for ROLE in ROLES:

    rule:
        name:
            f"export_{ROLE}"
        input:
            checkpoint=checkpoint(ROLE),
            onnx=given_onnx(ROLE),
            downloads=ancient("config/downloads.tsv"),
            lib=[*LIB_MODELS, "workflow/scripts/posebench/export.py"],
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
