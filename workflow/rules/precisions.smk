"""Make the run's ONNX files in other precisions: convert_detector_fp16, convert_pose_int8, ...

Needs   results/<run>/models/<role>.onnx; for INT8 person images and their annotations, to set the ranges by
Makes   results/<run>/models/<role>_<precision>.onnx and its record of the same name
"""

for ROLE in ROLES:

    for PRECISION in ("fp16", "int8"):

        rule:
            name:
                f"convert_{ROLE}_{PRECISION}"
            input:
                **calibration_inputs(PRECISION),
                onnx=f"{RUN}/models/{ROLE}.onnx",
                lib=expand(
                    "workflow/scripts/posegauge/{name}.py",
                    name=["precision", "pipeline", "coco"],
                ),
                schema="workflow/schemas/precision.schema.yaml",
            output:
                onnx=f"{RUN}/models/{ROLE}_{PRECISION}.onnx",
                record=f"{RUN}/models/{ROLE}_{PRECISION}.json",
            log:
                f"{RUN}/logs/convert_{ROLE}_{PRECISION}.log",
            benchmark:
                f"{RUN}/logs/convert_{ROLE}_{PRECISION}.jobcost.tsv"
            conda:
                "../../envs/onnxruntime.yaml"
            threads: 1
            resources:
                **needs(minutes=60, mem_mb=8000),
            params:
                role=ROLE,
                precision=PRECISION,
                input_size=config["models"][ROLE]["input_size"],
                calibration=(config["precision"], config["parity"]["images"]) if PRECISION == "int8" else None,
            message:
                f"Convert the {ROLE} to {PRECISION.upper()}"
            script:
                "../scripts/convert_model.py"
