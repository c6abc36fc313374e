"""Compare every artifact with PyTorch: check_parity for onnxruntime_cpu_fp32, openvino_cpu_fp32, ...

Needs   the ONNX files, the checkpoints, person images and their annotations
Makes   results/<run>/parity/source/pytorch.json and .npz: what PyTorch gives, once for all artifacts;
        results/<run>/parity/<artifact>.json with the differences, or the reason why nothing was compared
"""


rule predict_source:
    input:
        checkpoints=[*checkpoint("detector"), *checkpoint("pose")],
        annotations=annotations_file(),
        images=images_dir(),
        person_images=person_images_file(),
    output:
        record=f"{RUN}/parity/source/pytorch.json",
        arrays=f"{RUN}/parity/source/pytorch.npz",
    log:
        f"{RUN}/logs/predict_source.log",
    benchmark:
        f"{RUN}/logs/predict_source.jobcost.tsv"
    conda:
        conda_env("pytorch", "cpu")
    threads: prediction_threads()
    resources:
        **needs(minutes=240, mem_mb=6000),
    params:
        config=chosen(
            "dataset.unreadable", "models", "parity.images", "pipeline", "robustness.threads", "threads"
        ),
        code=code("predict_source", *runtimes(SOURCE)),
    message:
        "Run PyTorch for the parity checks"
    script:
        "../scripts/predict_source.py"


rule check_parity:
    input:
        unpack(parity_inputs),
        **source_files(),
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
        "Compare {wildcards.artifact} with PyTorch"
    script:
        "../scripts/check_parity.py"
