"""Annotate a video: make video IN=clip.mp4, or `video.input` in the config and the target annotate_video.

Needs   the video, the ONNX files or checkpoints; no data set
Makes   results/<run>/video/<name>.mp4 with the persons drawn, and <name>.json with the results of every frame;
        data/<name>/synthetic_walk.{mp4,json}, a drawn film with annotations, where it is asked for
"""

VIDEO = config["video"]["input"]
VIDEO_BACKEND = settings.video_backend(config)  # runtime, device
VIDEO_ARTIFACT = Artifact(*VIDEO_BACKEND, "fp16" if VIDEO_BACKEND[0] == "tensorrt" else "fp32")
ANNOTATED = video_output()


rule render_clip:
    output:
        clip=f"data/{DATASET['name']}/synthetic_walk.mp4",
        annotations=f"data/{DATASET['name']}/synthetic_walk.json",
    log:
        f"data/{DATASET['name']}/logs/render_clip.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        code=code("render_clip"),
        clip={"seed": DATASET["scenes"]["seed"], "frames": 60, "rate": 15, "size": [640, 360]},
    message:
        "Draw a synthetic video"
    script:
        "../scripts/render_clip.py"


if VIDEO:

    # The chunks of a killed job lie in .<name>.mp4.parts/, undeclared, so that snakemake does not delete them.
    rule annotate_video:
        input:
            video=VIDEO,
            given=given_video,
            detector=network_file("detector", VIDEO_ARTIFACT.precision),
            pose=network_file("pose", VIDEO_ARTIFACT.precision),
            checkpoints=[*checkpoint("detector"), *checkpoint("pose")],
        output:
            video=report(
                ANNOTATED,
                caption="../../report/captions/video.rst",
                category="Pictures",
                labels={"what": "Annotated video", "as": "MP4 to download"},
            ),
            frames=ANNOTATED.removesuffix(".mp4") + ".json",
        log:
            f"{RUN}/logs/annotate_video_{Path(ANNOTATED).stem}.log",
        benchmark:
            f"{RUN}/logs/annotate_video_{Path(ANNOTATED).stem}.jobcost.tsv"
        conda:
            conda_env(*VIDEO_BACKEND)
        # The speed is written on every frame, so nothing may run beside it.
        threads: measuring_threads()
        resources:
            **needs(minutes=240, mem_mb=4000, device=VIDEO_BACKEND[1], alone=True),
        params:
            # The script tells by it whether the chunks of a killed job are its own.
            code=code("annotate_video", *runtimes(VIDEO_ARTIFACT), in_job=True),
            config=chosen("notice", "pipeline.detect_every", "threads", *VIDEO_ARTIFACT.config_keys),
            runtime=VIDEO_BACKEND[0],
            device=VIDEO_BACKEND[1],
            title=f"{SHOWN['title']}: {Path(VIDEO).name}",
        message:
            f"Annotate {VIDEO}"
        script:
            "../scripts/annotate_video.py"
