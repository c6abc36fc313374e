"""Predict and score each image condition. Prediction is slow and scoring fast, so they are separate rules.

Needs   the ONNX files or checkpoints, the person images, their annotations
Makes   results/<run>/predictions/<condition>/{detected,clean,annotated,study}.json (COCO results) and record.json,
        of clean also boxes.json, which all others need; one rule per condition: predict_clean,
        predict_motion_blur_light, ...; with `shards` above 1 each has so many jobs predict_<condition>_shard, whose
        files are merged; results/<run>/robustness/<condition>.json with its bootstrap replicates .npz; with
        dataset.score_images: all the same predictions of the clean images without persons, predictions/other_images/,
        and all_images.json, the scores over all images
"""

SHARDS = config["shards"]

for CONDITION in CHOSEN:
    FOLDER = predictions_of(CONDITION) if SHARDS == 1 else f"{RUN}/predictions/shards/{CONDITION}/{{shard}}"
    LOG = f"{RUN}/logs/predict_{CONDITION}{'' if SHARDS == 1 else '_{shard}'}"

    rule:
        name:
            f"predict_{CONDITION}{'' if SHARDS == 1 else '_shard'}"
        input:
            detector=f"{RUN}/models/detector.onnx",
            pose=f"{RUN}/models/pose.onnx",
            checkpoints=[*checkpoint("detector"), *checkpoint("pose")],
            images=images_dir(),
            annotations=annotations_file(),
            trained=trained_weights,
            person_images=person_images_file(),
            # What the clean images give is computed once.
            clean_boxes=[] if CONDITION == "clean" else f"{predictions_of('clean')}/boxes.json",
        output:
            **prediction_outputs(CONDITION, FOLDER, passing=SHARDS > 1),
        log:
            f"{LOG}.log",
        benchmark:
            f"{LOG}.jobcost.tsv"
        conda:
            conda_env(PREDICTOR.runtime, config["robustness"]["device"])
        threads: prediction_threads()
        resources:
            **needs(minutes=480, mem_mb=4000, device=config["robustness"]["device"]),
        params:
            **prediction_params(),
            condition=CONDITION,
            corruption=str(CONDITIONS[CONDITION]),
            shard="0" if SHARDS == 1 else "{shard}",
        message:
            f"Predict images in the condition {CONDITION}"
            f"{'' if SHARDS == 1 else f' (shard {{wildcards.shard}} of {SHARDS}, from 0)'}"
        script:
            "../scripts/predict_condition.py"

    if SHARDS > 1:

        rule:
            name:
                f"predict_{CONDITION}"
            input:
                **prediction_outputs(CONDITION, predictions_of(CONDITION)),
            localrule: True


if SHARDS > 1:

    # The files of the shards are gone when they are merged, so what would make them anew stands here as well.
    rule merge_predictions:
        input:
            **shard_files(*PREDICTION_SETS, "record"),
            program=own("workflow/scripts/predict_condition.py"),
        output:
            **prediction_outputs("any", predictions_of("{condition}")),
        log:
            f"{RUN}/logs/predict_{{condition}}.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        params:
            **prediction_params(),
            merging=code("merge_predictions"),
            corruption=described_condition,
        message:
            "Merge the predictions of the condition {wildcards.condition}"
        script:
            "../scripts/merge_predictions.py"

    # Only the clean images have them, so they have a rule of their own.
    rule merge_boxes:
        input:
            **shard_files("boxes", condition="clean"),
            record=f"{predictions_of('clean')}/record.json",
        output:
            boxes=f"{predictions_of('clean')}/boxes.json",
        log:
            f"{RUN}/logs/merge_boxes.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        params:
            merging=code("merge_predictions"),
        message:
            "Merge the boxes of the clean images"
        script:
            "../scripts/merge_predictions.py"


rule score_condition:
    input:
        **{name: f"{RUN}/predictions/{{condition}}/{name}.json" for name in PREDICTION_SETS},
        record=f"{RUN}/predictions/{{condition}}/record.json",
        annotations=annotations_file(),
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
        code=code("score_condition", without=["study:CONDITIONS"]),
        config=chosen("bootstrap.resamples", "seed"),
        condition=described_condition,
    message:
        "Score the predictions of the condition {wildcards.condition}"
    script:
        "../scripts/score_condition.py"


if ALL_IMAGES:

    rule predict_other_images:
        input:
            detector=f"{RUN}/models/detector.onnx",
            pose=f"{RUN}/models/pose.onnx",
            checkpoints=[*checkpoint("detector"), *checkpoint("pose")],
            images=other_images_dir(),
            annotations=annotations_file(),
            trained=trained_weights,
            person_images=other_images_file(),
        output:
            **prediction_outputs("clean", predictions_of("other_images")),
        log:
            f"{RUN}/logs/predict_other_images.log",
        benchmark:
            f"{RUN}/logs/predict_other_images.jobcost.tsv"
        conda:
            conda_env(PREDICTOR.runtime, config["robustness"]["device"])
        threads: prediction_threads()
        resources:
            **needs(minutes=480, mem_mb=4000, device=config["robustness"]["device"]),
        params:
            **{**prediction_params(), "shards": 1},
            condition="clean",
            corruption=str(CONDITIONS["clean"]),
            shard="0",
        message:
            "Predict the images without persons"
        script:
            "../scripts/predict_condition.py"

    rule score_all_images:
        input:
            **{f"clean_{name}": f"{predictions_of('clean')}/{name}.json" for name in ("detected", "record")},
            **{
                f"other_{name}": f"{predictions_of('other_images')}/{name}.json"
                for name in ("detected", "record")
            },
            annotations=annotations_file(),
        output:
            scores=f"{RUN}/all_images.json",
        log:
            f"{RUN}/logs/score_all_images.log",
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        resources:
            **needs(minutes=60, mem_mb=4000),
        params:
            code=code("score_all_images"),
            config=chosen("bootstrap.resamples", "seed"),
        message:
            "Score the clean images, with persons and without"
        script:
            "../scripts/score_all_images.py"
