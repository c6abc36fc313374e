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


def checkpoint_of(wildcards):
    """The PyTorch checkpoint of the role, as a list."""
    return checkpoint(wildcards.role)


def given_onnx_of(wildcards):
    """The ONNX file that the user brings for the role, as a list."""
    return given_onnx(wildcards.role)


def calibration_inputs(wildcards):
    """What the ranges of INT8 are set by."""
    if wildcards.precision != "int8":
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
        + ", ".join(runs.known(place("results")))
    )


def no_reference(wildcards):
    """Say how to verify when the config names no reference to check the run against."""
    raise WorkflowError(
        "Against what? Say: make verify. A config of your own needs `reference`, a file that make_reference wrote"
    )


def predictions_of(condition):
    """The folder of the predictions of a condition."""
    return f"{RUN}/predictions/{condition}"


def prediction_outputs(condition, folder, passing=False):
    """The files of a prediction by name; passing: temporary ones, which are merged."""
    names = [*PREDICTION_SETS, "record", *(["boxes"] if condition == "clean" else [])]
    files = {name: f"{folder}/{name}.json" for name in names}
    return {name: temp(path) for name, path in files.items()} if passing else files


def shard_files(*names, condition="{condition}"):
    """The files of all shards of a condition by name."""
    return {
        name: [
            f"{RUN}/predictions/shards/{condition}/{shard}/{name}.json" for shard in range(config["shards"])
        ]
        for name in names
    }


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


def benchmark_files():
    """The rows of the latency table."""
    return expand(f"{RUN}/latency/{{benchmark}}.json", benchmark=config["benchmarks"])


def records_of(*kinds):
    """The records of these kinds by name, as posegauge.report.records.Run asks for them."""
    files = {
        "latency": benchmark_files(),
        "parity": parity_files(),
        "roofline": roofline_files(),
        "peers": f"{RUN}/peers.json",
        "batches": f"{RUN}/batches.json",
        "throughput": f"{RUN}/throughput.json",
        "scores": condition_files(),
    }
    found = {kind: files[kind] for kind in kinds}
    return found | ({"replicates": replicate_files()} if "scores" in kinds else {})


def figure_records(wildcards):
    """The records that a figure shows."""
    return records_of(*pages.FIGURES[wildcards.figure].drawn_from)


def picture_files():
    """The figures and grids of the run, by name."""
    figures = {page.figure: f"{RUN}/figures/{page.figure}.png" for page in PAGES if page.figure}
    grids = {"conditions": "conditions", "images": "images", "corruptions": "coco_c"}
    return figures | (
        {} if RANDOM_ROLES else {name: f"{RUN}/grids/{file}.jpg" for name, file in grids.items()}
    )


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


def trained_weights(wildcards):
    """Nothing, for rules that predict or score: refuse random weights before any job runs."""
    if RANDOM_ROLES:
        raise WorkflowError(timing_only.refusal("predictions and scores", RANDOM_ROLES))
    return []


def with_trained_weights(*files):
    """The files, which need predictions, as a list: empty with random weights."""
    return [] if RANDOM_ROLES else list(files)
