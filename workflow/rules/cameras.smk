"""Measure how many cameras each runtime serves on this machine.

Needs   the ONNX files and checkpoints, the person images, their annotations
Makes   results/<run>/cameras.json: every latency of every number of cameras that was tried, or the reason why
        there is none
"""


rule measure_cameras:
    input:
        networks=networks_of(config["cameras"]["artifacts"]),
        images=images_dir(),
        annotations=annotations_file(),
        person_images=person_images_file(),
    output:
        cameras=f"{RUN}/cameras.json",
    log:
        f"{RUN}/logs/measure_cameras.log",
    benchmark:
        f"{RUN}/logs/measure_cameras.jobcost.tsv"
    # All runtimes run in one job; this environment has them.
    conda:
        conda_env("pytorch", device_of(config["cameras"]["artifacts"]))
    # Nothing may run beside a measurement.
    threads: measuring_threads()
    resources:
        **needs(minutes=60, mem_mb=8000, device=device_of(config["cameras"]["artifacts"]), alone=True),
    params:
        onnx=onnx_of(config["cameras"]["artifacts"]),
        config=chosen("cameras", "benchmark.boxes", "seed", "threads", *runtime_keys(*SERVING)),
        code=code("measure_cameras", *runtimes(*SERVING), without=["study:ARTIFACTS"]),
    message:
        "Measure how many cameras are served"
    script:
        "../scripts/measure_cameras.py"
