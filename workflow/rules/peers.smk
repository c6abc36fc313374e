"""Time the pipeline beside other programs that run the same networks: rtmlib, MMPose, the study's way.

Needs   the ONNX files, the checkpoints, one image and annotated boxes
Makes   results/<run>/peers.json with every timed call, or the reason why a program did not run, and
        results/<run>/figures/peers.png; its table is made with the others (summary.smk)
"""


rule measure_peers:
    input:
        detector=f"{RUN}/models/detector.onnx",
        pose=f"{RUN}/models/pose.onnx",
        checkpoints=[*checkpoint("detector"), *checkpoint("pose")],
        annotations=annotations_file(),
        images=images_dir(),
        person_images=person_images_file(),
        lib=[*LIB_MODELS, "workflow/scripts/posegauge/peers.py"],
        schema="workflow/schemas/peers.schema.yaml",
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
        peers=config["peers"],
        image=config["benchmark"]["image"],
        pipeline=config["pipeline"],
        threads=config["threads"],
        seed=config["seed"],
        resamples=config["bootstrap"]["resamples"],
    message:
        "Time the pipeline beside other programs"
    script:
        "../scripts/measure_peers.py"


rule plot_peers:
    input:
        peers=f"{RUN}/peers.json",
        lib=[
            *LIB_TABLES,
            *expand("workflow/scripts/posegauge/{name}.py", name=["figures", "peers_figure"]),
        ],
        schema="workflow/schemas/peers.schema.yaml",
    output:
        figure=report(
            f"{RUN}/figures/peers.png",
            caption="../../report/captions/peers_figure.rst",
            category="Latency",
            labels={"what": "The pipeline beside other programs", "as": "figure"},
        ),
    log:
        f"{RUN}/logs/plot_peers.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        **SHOWN,
    message:
        "Draw the pipeline beside other programs"
    script:
        "../scripts/plot_peers.py"
