"""Predict and score each image condition. Prediction is slow and scoring fast, so they are separate rules.

Needs   the ONNX files or checkpoints, the person images
Makes   results/<run>/predictions/<condition>.json (COCO results) with its .meta.json, one rule per condition:
        predict_clean, predict_motion_blur_light, ...; results/<run>/robustness/<condition>.json
"""

for CONDITION in config["conditions"]:

    rule:
        name:
            f"predict_{CONDITION}"
        input:
            detector=f"{RUN}/models/detector.onnx",
            pose=f"{RUN}/models/pose.onnx",
            checkpoints=[*checkpoint("detector"), *checkpoint("pose")],
            images=images_dir(),
            person_images=person_images_file(),
            lib=[
                *LIB_MODELS,
                "workflow/scripts/posebench/predictions.py",
                "workflow/scripts/posebench/corruptions.py",
            ],
            schema="workflow/schemas/predictions.schema.yaml",
        output:
            predictions=f"{RUN}/predictions/{CONDITION}.json",
            record=f"{RUN}/predictions/{CONDITION}.meta.json",
        log:
            f"{RUN}/logs/predict_{CONDITION}.log",
        benchmark:
            f"{RUN}/logs/predict_{CONDITION}.jobcost.tsv"
        conda:
            conda_env(config["robustness"]["runtime"], config["robustness"]["device"])
        # The robustness table shows the speed of this pass, so nothing may run beside it.
        threads: measuring_threads()
        resources:
            mem_mb=4000,
        params:
            condition=CONDITION,
            corruption=str(CONDITIONS[CONDITION]),
            seed=config["seed"],
            pipeline=config["pipeline"],
            robustness=config["robustness"],
            unreadable=DATASET["unreadable"],
        message:
            f"Predict all images in the condition {CONDITION}"
        script:
            "../scripts/predict_condition.py"


rule score_condition:
    input:
        predictions=f"{RUN}/predictions/{{condition}}.json",
        record=f"{RUN}/predictions/{{condition}}.meta.json",
        annotations=annotations_file(),
        lib="workflow/scripts/posebench/metrics.py",
        schema="workflow/schemas/robustness.schema.yaml",
    output:
        scores=f"{RUN}/robustness/{{condition}}.json",
    log:
        f"{RUN}/logs/score_condition_{{condition}}.log",
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    message:
        "Score the predictions of the condition {wildcards.condition}"
    script:
        "../scripts/score_condition.py"
