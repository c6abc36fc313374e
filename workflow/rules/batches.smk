"""Measure the speed against the persons in an image and against the images in a batch.

Needs   the ONNX files and checkpoints, the person images, their annotations
Makes   results/<run>/batches.json: every turn of every artifact and point, or the reason why there is none;
        results/<run>/tables/batches.{csv,md} and figures/batches.png
"""


rule measure_batches:
    input:
        networks=networks_of(config["batches"]["artifacts"]),
        images=images_dir(),
        annotations=annotations_file(),
        person_images=person_images_file(),
        lib=[*LIB_MODELS, "workflow/scripts/posegauge/batch_speed.py"],
        schema="workflow/schemas/batches.schema.yaml",
    output:
        batches=f"{RUN}/batches.json",
    log:
        f"{RUN}/logs/measure_batches.log",
    benchmark:
        f"{RUN}/logs/measure_batches.jobcost.tsv"
    # All runtimes run in one job; this environment has them.
    conda:
        conda_env("pytorch", batches_device())
    # Nothing may run beside a measurement.
    threads: measuring_threads()
    resources:
        **needs(minutes=120, mem_mb=8000, device=batches_device(), alone=True),
    params:
        batches=config["batches"],
        onnx=onnx_of(config["batches"]["artifacts"]),
        image=config["benchmark"]["image"],
        seed=config["seed"],
        pipeline=config["pipeline"],
        execution=config["execution"],
        threads=config["threads"],
    message:
        "Time persons and batches"
    script:
        "../scripts/measure_batches.py"


rule show_batches:
    input:
        batches=f"{RUN}/batches.json",
        parity=batches_parity_files(),
        lib=[
            *LIB_TABLES,
            *expand(
                "workflow/scripts/posegauge/{name}.py",
                name=["figures", "batch_pages", "batch_figure"],
            ),
        ],
        schemas=[*SCHEMAS, "workflow/schemas/batches.schema.yaml"],
    output:
        csv=report(
            f"{RUN}/tables/batches.csv",
            caption="../../report/captions/batches.rst",
            category="Latency",
            labels={"what": "Speed by persons and by batch", "as": "CSV to download"},
        ),
        md=f"{RUN}/tables/batches.md",
        figure=report(
            f"{RUN}/figures/batches.png",
            caption="../../report/captions/batches.rst",
            category="Latency",
            labels={"what": "Speed by persons and by batch", "as": "figure"},
        ),
    log:
        f"{RUN}/logs/show_batches.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        **SHOWN,
    message:
        "Show the speed by persons and by batch"
    script:
        "../scripts/show_batches.py"
