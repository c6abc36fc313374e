"""The files of the run, as input functions that several rules share; nothing is made here."""


def annotations_file():
    """The annotation file of the data set."""
    return DATASET["annotations"] or f"data/{DATASET['name']}/annotations.json"


def images_dir():
    """The folder of the data set's images."""
    return DATASET["images"] or f"data/{DATASET['name']}/images"


def person_images_file():
    """The list of the images with persons."""
    return f"data/{DATASET['name']}/person_images.json"


def checkpoint(role):
    """The PyTorch checkpoint of a network, as a list: empty when the model is given as ONNX."""
    path = config["models"][role]["checkpoint"]
    return [path] if path else []


def given_onnx(role):
    """The ONNX file that the user brings, as a list: empty when the workflow exports one."""
    path = config["models"][role]["onnx"]
    return [path] if path else []


def network_file(role, precision="fp32"):
    """The run's ONNX file of a network."""
    return f"{RUN}/models/{role}{'' if precision == 'fp32' else f'_{precision}'}.onnx"


def network_inputs(artifact):
    """What an artifact runs, by the names of the rules' inputs: ONNX files, engines' records, checkpoints."""
    precision = artifact.onnx_precision
    engines = f"{RUN}/engines/{{role}}.json" if artifact.runtime == "tensorrt" else []
    return {
        **{role: network_file(role, precision) if precision else [] for role in ROLES},
        "engines": expand(engines, role=ROLES) if engines else [],
        "checkpoints": [] if precision else [path for role in ROLES for path in checkpoint(role)],
    }


def networks_of(names):
    """What several artifacts of one job run, as a list: ONNX files, engines' records, checkpoints."""
    found = [path for name in names for path in network_inputs(KNOWN_ARTIFACTS[name]).values()]
    return list(
        dict.fromkeys(path for paths in found for path in ([paths] if isinstance(paths, str) else paths))
    )


def onnx_of(names):
    """The ONNX files of artifacts, {name: {role: path, or null where the artifact runs none}}."""
    inputs = {name: network_inputs(KNOWN_ARTIFACTS[name]) for name in names}
    return {name: {role: found[role] or None for role in ROLES} for name, found in inputs.items()}


def calibration_inputs(precision):
    """What the ranges of INT8 are set by."""
    if precision != "int8":
        return {}
    return {
        "images": images_dir(),
        "person_images": person_images_file(),
        "annotations": annotations_file(),
    }


def converted_files():
    """What is made of the ONNX files for the run's artifacts: those of other precisions, engines' records."""
    exported = [network_file(role) for role in ROLES]
    paths = networks_of([artifact.name for artifact in CHOSEN_ARTIFACTS])
    return [path for path in paths if path.startswith(f"{RUN}/") and path not in exported]


def no_runs_to_compare(wildcards):
    """Say how to name the runs when a comparison is asked for without them."""
    raise WorkflowError(
        "Which runs? Say: snakemake compare --config baseline=<run> candidate=<run>. Runs here: "
        + ", ".join(runs.known())
    )


def no_reference(wildcards):
    """Say how to verify when the config names no reference to check the run against."""
    raise WorkflowError(
        "Against what? Say: make verify. A config of your own needs `reference`, a file that make_reference wrote"
    )


def condition_files():
    """The scores of every condition."""
    return expand(f"{RUN}/robustness/{{condition}}.json", condition=CHOSEN)


def replicate_files():
    """The bootstrap replicates of the scores of every condition."""
    return expand(f"{RUN}/robustness/{{condition}}.npz", condition=CHOSEN)


def prediction_files(sets=PREDICTION_SETS):
    """The predictions of every condition, of some or all sets."""
    return expand(f"{RUN}/predictions/{{condition}}/{{name}}.json", condition=CHOSEN, name=sets)


def parity_files():
    """The comparison of every artifact with PyTorch."""
    return expand(f"{RUN}/parity/{{artifact}}.json", artifact=ARTIFACTS)


def batches_parity_files():
    """The comparison with PyTorch of those artifacts whose batches are measured."""
    compared = [name for name in config["batches"]["artifacts"] if name in ARTIFACTS]
    return expand(f"{RUN}/parity/{{artifact}}.json", artifact=compared)


def benchmark_files():
    """The rows of the latency table."""
    return expand(f"{RUN}/latency/{{benchmark}}.json", benchmark=config["benchmarks"])


def video_output():
    """The annotated video; null where the config names none to annotate."""
    source, target = config["video"]["input"], config["video"]["output"]
    return target or (source and f"{RUN}/video/{Path(source).stem}.mp4")


def annotated_video():
    """The annotated video and its results, as a list: empty when there is none to annotate."""
    path = video_output()
    return [path, path.removesuffix(".mp4") + ".json"] if config["video"]["input"] else []


def roofline_files():
    """What the devices of the latency table can do at best."""
    return expand(f"{RUN}/roofline/{{device}}.json", device=DEVICES)


def source_files():
    """What PyTorch gave for the parity checks, by input names; empty where a model has no checkpoint."""
    there = all(checkpoint(role) for role in ROLES)
    files = {"source": f"{RUN}/parity/source/pytorch.json", "arrays": f"{RUN}/parity/source/pytorch.npz"}
    files["source_checkpoints"] = [path for role in ROLES for path in checkpoint(role)]
    return files if there else dict.fromkeys(files, [])


def parity_inputs(wildcards):
    """What an artifact runs, by the names of the rules' inputs."""
    return network_inputs(KNOWN_ARTIFACTS[wildcards.artifact])
