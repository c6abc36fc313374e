"""Predict and score each image condition. Prediction is slow and scoring fast, so they are separate rules.

Needs   the ONNX files or checkpoints, the person images, their annotations
Makes   results/<run>/predictions/<condition>/{detected,clean,annotated,study}.json (COCO results) and record.json,
        of clean also boxes.json, which all others need; one rule per condition: predict_clean,
        predict_motion_blur_light, ..., each merging as many shards as the config says;
        results/<run>/robustness/<condition>.json with its bootstrap replicates .npz
"""

LIB_SWEEP = [
    *LIB_MODELS,
    *expand(
        "workflow/scripts/posegauge/{name}.py",
        name=["sweep", "preparing", "predictions", "protocol", "corruptions", "coco_c", "coco"],
    ),
]
SHARDS = range(config["shards"])


wildcard_constraints:
    shard=r"\d+",


for CONDITION in CHOSEN:
    SHARD = f"{RUN}/predictions/shards/{CONDITION}/{{shard}}"
    MERGED = f"{RUN}/predictions/{CONDITION}"

    rule:
        name:
            f"predict_{CONDITION}_shard"
        input:
            detector=f"{RUN}/models/detector.onnx",
            pose=f"{RUN}/models/pose.onnx",
            checkpoints=[*checkpoint("detector"), *checkpoint("pose")],
            images=images_dir(),
            annotations=annotations_file(),
            trained=trained_weights,
            person_images=person_images_file(),
            # What the clean images give is computed once.
            clean_boxes=[] if CONDITION == "clean" else f"{RUN}/predictions/clean/boxes.json",
            lib=LIB_SWEEP,
            # Snakemake compares a script with the outputs it made, and these are gone after merging.
            program="workflow/scripts/predict_condition.py",
            schema="workflow/schemas/predictions.schema.yaml",
        output:
            detected=temp(f"{SHARD}/detected.json"),
            clean=temp(f"{SHARD}/clean.json"),
            annotated=temp(f"{SHARD}/annotated.json"),
            study=temp(f"{SHARD}/study.json"),
            boxes=temp([f"{SHARD}/boxes.json"] if CONDITION == "clean" else []),
            record=temp(f"{SHARD}/record.json"),
        log:
            f"{RUN}/logs/predict_{CONDITION}_{{shard}}.log",
        benchmark:
            f"{RUN}/logs/predict_{CONDITION}_{{shard}}.jobcost.tsv"
        conda:
            conda_env(config["robustness"]["runtime"], config["robustness"]["device"])
        threads: prediction_threads()
        resources:
            **needs(minutes=480, mem_mb=4000, device=config["robustness"]["device"]),
        params:
            condition=CONDITION,
            corruption=str(CONDITIONS[CONDITION]),
            shards=config["shards"],
            seed=config["seed"],
            pipeline=config["pipeline"],
            robustness=config["robustness"],
            unreadable=DATASET["unreadable"],
        message:
            f"Predict images in the condition {CONDITION} (shard {{wildcards.shard}} of {len(SHARDS)}, from 0)"
        script:
            "../scripts/predict_condition.py"

    rule:
        name:
            f"predict_{CONDITION}"
        input:
            detected=expand(f"{SHARD}/detected.json", shard=SHARDS),
            clean=expand(f"{SHARD}/clean.json", shard=SHARDS),
            annotated=expand(f"{SHARD}/annotated.json", shard=SHARDS),
            study=expand(f"{SHARD}/study.json", shard=SHARDS),
            boxes=expand(f"{SHARD}/boxes.json", shard=SHARDS) if CONDITION == "clean" else [],
            record=expand(f"{SHARD}/record.json", shard=SHARDS),
            lib="workflow/scripts/posegauge/predictions.py",
            schema="workflow/schemas/predictions.schema.yaml",
        output:
            detected=f"{MERGED}/detected.json",
            clean=f"{MERGED}/clean.json",
            annotated=f"{MERGED}/annotated.json",
            study=f"{MERGED}/study.json",
            boxes=[f"{MERGED}/boxes.json"] if CONDITION == "clean" else [],
            record=f"{MERGED}/record.json",
        log:
            f"{RUN}/logs/predict_{CONDITION}.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        message:
            f"Merge the predictions of the condition {CONDITION}"
        script:
            "../scripts/merge_predictions.py"


rule score_condition:
    input:
        detected=f"{RUN}/predictions/{{condition}}/detected.json",
        clean=f"{RUN}/predictions/{{condition}}/clean.json",
        annotated=f"{RUN}/predictions/{{condition}}/annotated.json",
        study=f"{RUN}/predictions/{{condition}}/study.json",
        record=f"{RUN}/predictions/{{condition}}/record.json",
        annotations=annotations_file(),
        lib=expand(
            "workflow/scripts/posegauge/{name}.py", name=["metrics", "bootstrap", "calibration", "protocol"]
        ),
        schema="workflow/schemas/robustness.schema.yaml",
    output:
        scores=f"{RUN}/robustness/{{condition}}.json",
        replicates=f"{RUN}/robustness/{{condition}}.npz",
    log:
        f"{RUN}/logs/score_condition_{{condition}}.log",
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        **needs(minutes=60, mem_mb=2000),
    params:
        bootstrap=config["bootstrap"],
        seed=config["seed"],
    message:
        "Score the predictions of the condition {wildcards.condition}"
    script:
        "../scripts/score_condition.py"
