"""The params of rules: what scripts read of the config, and the code that they use."""


def code(script, *more, without=(), in_job=False):
    """For params: a digest of all library code that a script uses, by file, so that a change of it counts.

    script: its name. more: modules and definitions that it finds at run time ("backends.torch"). without: those
    that another param stands for ("study:CONDITIONS"). in_job: the script itself reads this param.
    """
    used_code.check_names(script, *more, without=without)
    return partial(_used_code, script, more, tuple(without), in_job)


def _used_code(script, more, without, in_job, wildcards):
    # The main process alone compares and records params: the process of a job need not read the library.
    if workflow.subprocess_exec and not in_job:
        return {}
    return used_code.used_code(script, *more, without=without)


def runtimes(*artifacts):
    """For code(): the modules that run these artifacts, which are chosen by name at run time."""
    names = {"torch" if artifact.runtime == "pytorch" else artifact.runtime for artifact in artifacts}
    return [f"backends.{name}" for name in sorted(names)]


def runtime_keys(*artifacts):
    """For chosen(): the keys that pipelines of these artifacts are built from."""
    return dict.fromkeys(key for artifact in artifacts for key in artifact.config_keys)


def chosen(*keys):
    """For params: the part of the config with these keys alone; "benchmark.image" is a key inside another."""
    return config_parts.part(SCRIPT_CONFIG, keys)


def row_config(benchmark):
    """For params: what of the config a benchmark row reads."""
    # Not how many processes: asking for five instead of three keeps the three that were measured.
    protocol = [f"benchmark.{key}" for key in ("image", "boxes", "warmup", "max_warmup", "runs", "tries")]
    return chosen("energy", "threads", *protocol, *runtime_keys(BENCHMARKS[benchmark].artifact))


def tracked_code(wildcards):
    """For params: the code that the measurement of an artifact on a film uses."""
    used = runtimes(KNOWN_ARTIFACTS[wildcards.tracked])
    return code("measure_detect_every", *used, without=["study:ARTIFACTS"])(wildcards)


def tracked_config(wildcards):
    """For params: what of the config the measurement of an artifact on a film reads."""
    protocol = [f"detect_every.{key}" for key in ("frames", "intervals", "rounds")]
    read = ("bootstrap.resamples", "seed", "threads", *protocol)
    return chosen(*read, *runtime_keys(KNOWN_ARTIFACTS[wildcards.tracked]))


def tracked_onnx(wildcards):
    """For params: the ONNX files of the artifact that is measured on a film, by role."""
    return onnx_of([wildcards.tracked])[wildcards.tracked]


def parity_code(wildcards):
    """For params: the code that the comparison of an artifact uses."""
    used = runtimes(KNOWN_ARTIFACTS[wildcards.artifact])
    return code("check_parity", *used, without=["study:ARTIFACTS"])(wildcards)


def parity_config(wildcards):
    """For params: what of the config the comparison of an artifact reads."""
    read = ("bootstrap.resamples", "dataset.unreadable", "parity", "robustness.threads", "seed", "threads")
    return chosen(*read, *runtime_keys(KNOWN_ARTIFACTS[wildcards.artifact]))


def peers_config(wildcards):
    """For params: what of the config the comparison with other programs reads."""
    read = ("benchmark.image", "bootstrap.resamples", "peers", "seed", "threads")
    return chosen(*read, *runtime_keys(*BESIDE[wildcards.device]))


def prediction_params():
    """For params: what the predictions of every condition are made with."""
    return {
        "code": code("predict_condition", *runtimes(PREDICTOR), without=["study:CONDITIONS"]),
        "config": chosen("dataset.unreadable", "robustness", "seed", "threads", *PREDICTOR.config_keys),
        "shards": config["shards"],
    }


def described_condition(wildcards):
    """For params: what the condition is."""
    return str(CONDITIONS[wildcards.condition])


@cache
def checked_data():
    """What is known of the user's own data; refuses them where they are not good."""
    try:
        return given.check_given(config, ".snakemake/given.json")
    except PoseGaugeError as error:
        raise WorkflowError(str(error)) from None


@cache
def checked_calibration():
    """What is known of the user's own images for INT8; refuses them where they are not good."""
    try:
        return given.check_calibration(config, ".snakemake/given_calibration.json")
    except PoseGaugeError as error:
        raise WorkflowError(str(error)) from None


def calibration_state(wildcards):
    """For params: what makes these images others than they were, as images_state."""
    return None if workflow.subprocess_exec else checked_calibration().images


def unfit_calibration(wildcards):
    """For params: those of these images that are too narrow for the detector, and left out."""
    return checked_calibration().unfit


def images_state(wildcards):
    """For params: what makes the user's own images others than they were: a digest of their sizes and times."""
    # The main process alone compares it.
    return checked_data().images if DATASET["kind"] == "folder" and not workflow.subprocess_exec else None


def unfit_images(wildcards):
    """For params: the user's own images that are too small or too large for the run, and left out."""
    return checked_data().unfit if DATASET["kind"] == "folder" else []


def model_of(wildcards):
    """For params: what the config says of the network of the role."""
    return SCRIPT_CONFIG["models"][wildcards.role]


def calibration_scenes(wildcards):
    """For params: scenes that no data set has, all with persons, to set the ranges of INT8 by."""
    count = config["precision"]["calibration_images"]
    return {"images": count, "empty": 0, "seed": DATASET["scenes"]["seed"] + 1_000_000}


def calibration_of(wildcards):
    """For params: how the ranges of INT8 are set."""
    if wildcards.precision == "fp16":
        return None
    return calibration_settings(wildcards.role)


def calibration_settings(role):
    """How the ranges of INT8 are set, and by how many images."""
    return {
        "input_size": config["models"][role]["input_size"],
        "pixels": config["models"][role]["pixels"],
        "images": config["precision"]["calibration_images"],
        "max_error": config["precision"]["int8_error"],
        "compared": config["parity"]["images"],
        "from": CALIBRATED_BY,
    }


def asset_mirror(wildcards, input):
    """For params: where to download from. What follows from the input is no reason to run a rule again."""
    return config["asset_mirror"]


def downloads_folder(wildcards):
    """For params: where downloads lie."""
    return place("data/downloads")


def onnx_of(names):
    """The ONNX files of artifacts, {name: {role: path, or null where the artifact runs none}}."""
    inputs = {name: network_inputs(KNOWN_ARTIFACTS[name]) for name in names}
    return {name: {role: found[role] or None for role in ROLES} for name, found in inputs.items()}


# What a rule gives its script of the list of pages; the rest of the list may change.
PAGE_LISTS = [f"report.pages:{name}" for name in ("PAGES", "TABLES", "FIGURES", "GRIDS")]


def table_code():
    """For params: what the tables are made by."""
    functions = [f"report.{page.module}:{name}" for page in TABLE_PAGES for name in ("table", "text")]
    return code("make_tables", *functions, without=PAGE_LISTS)


def figure_code(wildcards):
    """For params: what a figure is drawn by; a sentence about it is no part of it."""
    drawn_by = f"report.{pages.FIGURES[wildcards.figure].module}:plot"
    return code("plot", drawn_by, without=PAGE_LISTS)(wildcards)


def figure_labels(wildcards):
    """What a figure is called in the HTML report."""
    return {"what": pages.FIGURES[wildcards.figure].figure_title, "as": "figure"}


def figure_category(wildcards):
    """Where a figure stands in the HTML report."""
    return pages.FIGURES[wildcards.figure].category
