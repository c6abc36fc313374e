"""What goes into jobs, as input functions that several rules share; nothing is made here."""

# What sets the ranges of INT8, and where what is made for that lies; of the data set's own images nothing is made.
CALIBRATED_BY = calibration_keys.kind(config)
CALIBRATION = f"data/{DATASET['name']}/calibration"
TRAIN2017 = f"data/{DATASET['name']}/calibration_train2017"
OWN_CALIBRATION = f"data/{DATASET['name']}/calibration_folder"


def source_annotations():
    """The annotation file of the data set, as it was brought, downloaded or rendered."""
    return DATASET["annotations"] or f"data/{DATASET['name']}/annotations.json"


def annotations_file():
    """The annotations in COCO's form, as they were read: what all rules but one work with."""
    return f"data/{DATASET['name']}/read_annotations.json"


def images_dir():
    """The folder of the data set's images; of the user's own the rule that lists them tells what has changed."""
    return ancient(DATASET["images"]) if DATASET["images"] else f"data/{DATASET['name']}/images"


def whole_archive(file):
    """An archive of COCO, as a list: empty where only the files of some images are fetched from it."""
    return [f"data/downloads/{file}"] if DATASET["max_images"] is None else []


def person_images_file():
    """The list of the images with persons."""
    return f"data/{DATASET['name']}/person_images.json"


def given_data(wildcards):
    """Nothing, when the images are listed: refuse faulty annotations and images of the user before any job runs."""
    if DATASET["kind"] == "folder" and not workflow.subprocess_exec and not workflow.remote_exec:
        checked_data()
    return []


def given_calibration(wildcards):
    """Nothing, when images of the user's are chosen for INT8: refuse faulty ones before any job runs."""
    if not workflow.subprocess_exec and not workflow.remote_exec:
        checked_calibration()
    return []


def given_mirror(wildcards):
    """Nothing, when images of COCO train2017 are fetched: refuse a mirror folder without any before a job runs."""
    if config["asset_mirror"] and not workflow.subprocess_exec and not workflow.remote_exec:
        # Here and not above: they load OpenCV.
        from posegauge.data import archives, calibration

        try:
            row = DOWNLOADS.loc[calibration.TRAIN_ARCHIVE]
            archives.refuse_mirror(row, place("data/downloads"), config["asset_mirror"], calibration.INSTEAD)
        except PoseGaugeError as error:
            raise WorkflowError(str(error)) from None
    return []


def other_images_file():
    """The list of the images without persons."""
    return f"data/{DATASET['name']}/other_images.json"


def other_images_dir():
    """The folder of the images without persons; those of COCO are extracted apart, when they are asked for."""
    return f"data/{DATASET['name']}/other_images" if DATASET["kind"] == "coco" else images_dir()


def checkpoint(role):
    """The PyTorch checkpoint of a network, as a list: empty when the model is given as ONNX."""
    path = config["models"][role]["checkpoint"]
    return [path] if path else []


def checkpoint_of(wildcards):
    """The PyTorch checkpoint of the role, as a list."""
    return checkpoint(wildcards.role)


def given_onnx(role):
    """The ONNX file that the user brings and weights beside it, as a list: empty when the workflow exports one."""
    path = config["models"][role]["onnx"]
    return [path, *onnx_files.weights_beside(path)] if path else []


def given_onnx_of(wildcards):
    """The ONNX file that the user brings for the role, as a list."""
    return given_onnx(wildcards.role)


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


def calibration_inputs(wildcards):
    """What the ranges of INT8 are set by."""
    if wildcards.precision == "fp16":
        return {}
    return calibration_files()


def calibration_files():
    """The images that set the ranges of INT8, the list of those that may be taken, and their annotations."""
    if CALIBRATED_BY == "dataset":
        return {
            "images": images_dir(),
            "person_images": person_images_file(),
            "annotations": annotations_file(),
        }
    if CALIBRATED_BY == "scenes":
        scenes = f"{CALIBRATION}/annotations.json"
        return {"images": f"{CALIBRATION}/images", "person_images": scenes, "annotations": scenes}
    folder = TRAIN2017 if CALIBRATED_BY == "train2017" else OWN_CALIBRATION
    return {
        "images": f"{TRAIN2017}/images" if CALIBRATED_BY == "train2017" else own_calibration("images"),
        "person_images": f"{folder}/person_images.json",
        "annotations": f"{folder}/annotations.json",
    }


def own_calibration(key):
    """The user's images or annotations for INT8; of the images the rule that chooses them tells what has changed."""
    path = config["precision"]["calibration"][key]
    return ancient(path) if key == "images" else path


def scored_by_name():
    """The images that are scored, by input names: none of them may set the ranges of INT8."""
    return {"scored": ancient(images_dir()), "scored_images": person_images_file()}


def source_networks():
    """What artifacts are compared with, by input names: of each network its checkpoint, or the ONNX file given."""
    return {f"source_{role}": (checkpoint(role) or [network_file(role)])[0] for role in ROLES}


def source_file(kind):
    """What the source gave for the parity checks: its record (json) or its arrays (npz)."""
    return f"{RUN}/parity/source/{'_'.join(SOURCE_RUNTIMES)}.{kind}"


def parity_inputs(wildcards):
    """What an artifact runs, by the names of the rules' inputs, and of INT8 the images that set its ranges."""
    artifact = KNOWN_ARTIFACTS[wildcards.artifact]
    made = ROLES if artifact.precision.startswith("int8") else ()
    records = [f"{RUN}/models/{role}_{artifact.onnx_precision}.json" for role in made]
    return {**network_inputs(artifact), "calibration": records}


def no_runs_to_compare(wildcards):
    """Say how to name the runs when a comparison is asked for without them."""
    raise WorkflowError(
        "Which runs? Say: snakemake compare --config baseline=<run> candidate=<run>. Runs here: "
        + ", ".join(runs.known(place("results")))
    )


def no_runs_for_the_board(wildcards):
    """Say how to name the runs when a board is asked for without them."""
    raise WorkflowError(
        "Which runs? Say: snakemake board --config runs=[<run>,<run>]. Runs here: "
        + ", ".join(name for name in runs.known(place("results")) if name != PUBLISHED)
    )


def no_reference(wildcards):
    """Say how to verify when the config names no reference to check the run against."""
    raise WorkflowError(
        "Against what? Say: make verify. A config of your own needs `reference`, a file that make_reference wrote"
    )


def given_video(wildcards):
    """Nothing, when a video is to be annotated: refuse what is no film before any job runs."""
    return refused_film(VIDEO)


def given_film(wildcards):
    """Nothing, when the detector on every n-th frame is measured: refuse a film or annotations that will not do."""
    return refused_film(config["detect_every"]["clip"], config["detect_every"]["annotations"])


def refused_film(*paths):
    """Nothing; a WorkflowError where a film, or its annotations if they are named, will not do."""
    # What lies under data/ the workflow may have made; and a job's own process need not look again.
    made = any(path and Path(path).parts[:1] == ("data",) for path in paths)
    if not made and not workflow.subprocess_exec and not workflow.remote_exec:
        # Here and not above: it loads FFmpeg.
        from posegauge.data import films

        try:
            films.check_film(*(path and place(path) for path in paths))
        except PoseGaugeError as error:
            raise WorkflowError(str(error)) from None
    return []


def tracked_networks(wildcards):
    """What the artifact of the measurement on a film runs."""
    return networks_of([wildcards.tracked])


def tracked_annotations():
    """The annotations of the film, as a list: empty where it is timed alone."""
    path = config["detect_every"]["annotations"]
    return [path] if path else []


def trained_weights(wildcards):
    """Nothing, for rules that predict or score: refuse random weights before any job runs."""
    if RANDOM_ROLES:
        raise WorkflowError(timing_only.refusal("predictions and scores", RANDOM_ROLES))
    return []
