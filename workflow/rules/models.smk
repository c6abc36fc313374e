"""Make the run's networks: ONNX files (export_detector, export_pose), these in other precisions, TensorRT engines.

Needs   a checkpoint (downloaded, or under data/demo/), the user's own ONNX file, or neither: random weights; for INT8
        person images and their annotations, to set the ranges by; for the engines an NVIDIA GPU with TensorRT
Makes   results/<run>/models/<role>.onnx and <role>_<precision>.onnx, each with its record of the same name; with
        random weights before that the checkpoint <role>_random.pth, from which every runtime is made;
        results/<run>/engines/<role>.json, which names the engine and all that it depends on, or says why there is
        none. The engines lie beside it, undeclared: their names depend on the GPU of the machine that builds them,
        and a job that finds none for its own GPU builds one.
"""


rule make_random_weights:
    input:
        images=images_dir(),
        person_images=person_images_file(),
    output:
        checkpoint=f"{RUN}/models/{{role}}_random.pth",
    log:
        f"{RUN}/logs/make_random_{{role}}.log",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **needs(minutes=30, mem_mb=4000),
    params:
        code=code("make_random_weights"),
        config=chosen("benchmark.image", "seed"),
        model=model_of,
    message:
        "Draw random weights for the {wildcards.role}: timing only"
    script:
        "../scripts/make_random_weights.py"


rule export_model:
    input:
        checkpoint=checkpoint_of,
        onnx=given_onnx_of,
        downloads=ancient(own("config/downloads.tsv")),
    output:
        onnx=f"{RUN}/models/{{role}}.onnx",
        record=f"{RUN}/models/{{role}}.json",
    log:
        f"{RUN}/logs/export_{{role}}.log",
    benchmark:
        f"{RUN}/logs/export_{{role}}.jobcost.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **needs(minutes=30, mem_mb=4000),
    params:
        # Who verified a checkpoint changes nothing in it.
        code=code("export_model", without=["data.download"]),
        model=model_of,
        opset=config["export"]["opset"],
    message:
        "Write the {wildcards.role} as ONNX"
    script:
        "../scripts/export_model.py"


rule convert_model:
    input:
        unpack(calibration_inputs),
        onnx=f"{RUN}/models/{{role}}.onnx",
    output:
        onnx=f"{RUN}/models/{{role}}_{{precision}}.onnx",
        record=f"{RUN}/models/{{role}}_{{precision}}.json",
    log:
        f"{RUN}/logs/convert_{{role}}_{{precision}}.log",
    benchmark:
        f"{RUN}/logs/convert_{{role}}_{{precision}}.jobcost.tsv"
    conda:
        "../../envs/onnxruntime.yaml"
    threads: 1
    resources:
        **needs(minutes=60, mem_mb=8000),
    params:
        code=code("convert_model"),
        calibration=calibration_of,
    message:
        "Convert the {wildcards.role} to {wildcards.precision}"
    script:
        "../scripts/convert_model.py"


rule build_engine:
    input:
        onnx=f"{RUN}/models/{{role}}_fp16.onnx",
    output:
        record=f"{RUN}/engines/{{role}}.json",
    log:
        f"{RUN}/logs/build_engine_{{role}}.log",
    benchmark:
        f"{RUN}/logs/build_engine_{{role}}.jobcost.tsv"
    conda:
        conda_env("tensorrt", "cuda")
    # TensorRT chooses its kernels by timing them, so nothing may run beside it.
    threads: measuring_threads()
    resources:
        **needs(minutes=60, mem_mb=8000, device="cuda", alone=True),
    params:
        code=code("build_engine"),
        config=chosen("engine"),
        model=model_of,
    message:
        "Build the TensorRT engine of the {wildcards.role}"
    script:
        "../scripts/build_engine.py"


# Asked for by name: the numbers of docs/quantisation.md.
rule quantisation_tries:
    input:
        detector=network_file("detector"),
        pose=network_file("pose"),
        images=images_dir(),
        person_images=person_images_file(),
        annotations=annotations_file(),
        calibration_images=calibration_files()["images"],
        calibration_person_images=calibration_files()["person_images"],
        calibration_annotations=calibration_files()["annotations"],
    output:
        record=f"{RUN}/quantisation.json",
        table=f"{RUN}/quantisation.md",
    log:
        f"{RUN}/logs/quantisation_tries.log",
    conda:
        "../../envs/onnxruntime.yaml"
    threads: measuring_threads()
    resources:
        **needs(minutes=240, mem_mb=8000, alone=True),
    params:
        code=code("try_quantisation", "backends.onnxruntime", "backends.openvino"),
        config=chosen(
            "dataset.unreadable",
            "models",
            "parity.images",
            "pipeline",
            "precision.int8_error",
            "robustness.threads",
            "threads",
        ),
        calibration=calibration_settings("pose"),
        title=SHOWN["title"],
    message:
        "Try the ways to INT8 and BF16"
    script:
        "../scripts/try_quantisation.py"
