"""Measure the speed of the sweep that makes the predictions.

Needs   the ONNX files and checkpoints, the person images, their annotations
Makes   results/<run>/sweep.json: images per second and share of inference of every turn, against MMPose's
        inferencer on one image after the other
"""


rule measure_sweep:
    input:
        detector=f"{RUN}/models/detector.onnx",
        pose=f"{RUN}/models/pose.onnx",
        checkpoints=[*checkpoint("detector"), *checkpoint("pose")],
        images=images_dir(),
        annotations=annotations_file(),
        trained=trained_weights,
        person_images=person_images_file(),
        lib=[*LIB_SWEEP, "workflow/scripts/posegauge/sweep_speed.py"],
        schema="workflow/schemas/sweep.schema.yaml",
    output:
        sweep=f"{RUN}/sweep.json",
    log:
        f"{RUN}/logs/measure_sweep.log",
    benchmark:
        f"{RUN}/logs/measure_sweep.jobcost.tsv"
    # Both runtimes run in one job; this environment has them both.
    conda:
        conda_env("pytorch", config["robustness"]["device"])
    # Nothing may run beside a measurement.
    threads: measuring_threads()
    resources:
        **needs(minutes=240, mem_mb=6000, device=config["robustness"]["device"], alone=True),
    params:
        sweep=config["sweep"],
        seed=config["seed"],
        pipeline=config["pipeline"],
        device=config["robustness"]["device"],
        threads=config["threads"],
    message:
        "Measure the speed of the sweep"
    script:
        "../scripts/measure_sweep.py"
