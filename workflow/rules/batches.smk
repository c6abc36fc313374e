"""Measure the speed against the persons in an image and against the images in a batch.

Needs   the ONNX files and checkpoints, the person images, their annotations
Makes   results/<run>/batches.json: every turn of every artifact and point, or the reason why there is none
"""


rule measure_batches:
    input:
        networks=networks_of(config["batches"]["artifacts"]),
        images=images_dir(),
        annotations=annotations_file(),
        person_images=person_images_file(),
    output:
        batches=f"{RUN}/batches.json",
    log:
        f"{RUN}/logs/measure_batches.log",
    benchmark:
        f"{RUN}/logs/measure_batches.jobcost.tsv"
    # All runtimes run in one job; this environment has them.
    conda:
        conda_env("pytorch", device_of(config["batches"]["artifacts"]))
    # Nothing may run beside a measurement.
    threads: measuring_threads()
    resources:
        **needs(minutes=120, mem_mb=8000, device=device_of(config["batches"]["artifacts"]), alone=True),
    params:
        onnx=onnx_of(config["batches"]["artifacts"]),
        config=chosen("batches", "benchmark.image", "seed", "threads", *runtime_keys(*BATCHED)),
        code=code("measure_batches", *runtimes(*BATCHED), without=["study:ARTIFACTS"]),
    message:
        "Time persons and batches"
    script:
        "../scripts/measure_batches.py"
