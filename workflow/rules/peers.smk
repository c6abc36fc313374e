"""Time the pipeline beside other programs that run the same networks: rtmlib, MMPose, the original study's way.

Needs   the ONNX files, the checkpoints, one image and annotated boxes
Makes   results/<run>/peers.json with every timed call, or the reason why a program did not run
"""


rule measure_peers:
    input:
        detector=network_file("detector"),
        pose=network_file("pose"),
        checkpoints=[*checkpoint("detector"), *checkpoint("pose")],
        annotations=annotations_file(),
        images=images_dir(),
        person_images=person_images_file(),
    output:
        peers=f"{RUN}/peers.json",
    log:
        f"{RUN}/logs/measure_peers.log",
    benchmark:
        f"{RUN}/logs/measure_peers.jobcost.tsv"
    # Both runtimes, MMPose and rtmlib run in one job; this environment has them all.
    conda:
        conda_env("pytorch", "cpu")
    # Nothing may run beside a measurement.
    threads: measuring_threads()
    resources:
        **needs(minutes=120, mem_mb=8000, alone=True),
    params:
        config=chosen(
            "benchmark.image", "bootstrap.resamples", "peers", "seed", "threads", *runtime_keys(*BESIDE)
        ),
        code=code("measure_peers", *runtimes(*BESIDE)),
    message:
        "Time the pipeline beside other programs"
    script:
        "../scripts/measure_peers.py"
