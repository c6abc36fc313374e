"""Time the pipeline beside other programs that run the same networks: rtmlib, MMPose, the original study's way.

Needs   the ONNX files, the checkpoints, one image and annotated boxes
Makes   results/<run>/peers/<device>.json with every timed call, or the reason why a program did not run, for each
        device of the latency table
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
        peers=f"{RUN}/peers/{{device}}.json",
    log:
        f"{RUN}/logs/measure_peers_{{device}}.log",
    benchmark:
        f"{RUN}/logs/measure_peers_{{device}}.jobcost.tsv"
    # Both runtimes, MMPose and rtmlib run in one job; this environment has them all.
    conda:
        torch_env
    # Nothing may run beside a measurement.
    threads: measuring_threads()
    resources:
        **needs_by(device_wildcard, minutes=120, mem_mb=8000, alone=True),
    params:
        config=peers_config,
        code=code("measure_peers", *runtimes(*BESIDE["cpu"])),
    message:
        "Time the pipeline beside other programs on the device {wildcards.device}"
    script:
        "../scripts/measure_peers.py"
