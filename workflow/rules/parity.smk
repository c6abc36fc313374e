"""Compare every artifact with its source: check_parity for onnxruntime_cpu_fp32, openvino_cpu_fp32, ...

Needs   the ONNX files, the checkpoints, person images and their annotations
Makes   results/<run>/parity/source/<runtime>.json and .npz: what the source gives, once for all artifacts: PyTorch,
        or ONNX Runtime for a network that was given as an ONNX file;
        results/<run>/parity/<artifact>.json with the differences, or the reason why nothing was compared
"""


rule predict_source:
    input:
        **source_networks(),
        annotations=annotations_file(),
        images=images_dir(),
        person_images=person_images_file(),
    output:
        record=source_file("json"),
        arrays=source_file("npz"),
    log:
        f"{RUN}/logs/predict_source.log",
    benchmark:
        f"{RUN}/logs/predict_source.jobcost.tsv"
    conda:
        conda_env(SOURCE_RUNTIMES[-1], "cpu")
    threads: prediction_threads()
    resources:
        **needs(minutes=240, mem_mb=6000),
    params:
        config=chosen(
            "dataset.unreadable", "models", "parity.images", *PIPELINE_KEYS, "robustness.threads", "threads"
        ),
        code=code("predict_source", *runtimes(*SOURCES.values())),
    message:
        "Run the source of the parity checks"
    script:
        "../scripts/predict_source.py"


rule check_parity:
    input:
        unpack(parity_inputs),
        **source_networks(),
        arrays=source_file("npz"),
        source=source_file("json"),
        annotations=annotations_file(),
        images=images_dir(),
        person_images=person_images_file(),
    output:
        parity=f"{RUN}/parity/{{artifact}}.json",
    log:
        f"{RUN}/logs/check_parity_{{artifact}}.log",
    benchmark:
        f"{RUN}/logs/check_parity_{{artifact}}.jobcost.tsv"
    conda:
        parity_env
    threads: prediction_threads()
    resources:
        **needs_by(artifact_device, minutes=240, mem_mb=6000),
    params:
        config=parity_config,
        code=parity_code,
    message:
        "Compare {wildcards.artifact} with its source"
    script:
        "../scripts/check_parity.py"
