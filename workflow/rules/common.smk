"""Read and check the config; name the files of the run.

What the other files share stands here: RUN, DATASET, DOWNLOADS and the input functions.
"""

import sys
from functools import partial
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "scripts"))

from posebench import cluster, download, provenance, run_folders, settings
from posebench.errors import PoseBenchError
from posebench.run_folders import PUBLISHED
from posebench.study import ARTIFACTS as STUDY_ARTIFACTS
from posebench.study import BENCHMARKS, CONDITIONS, PREDICTION_SETS, SOURCE

try:
    config = settings.check(config)
    DOWNLOADS = download.read_table("config/downloads.tsv")
    # Without a number of cores of this machine the jobs run on others.
    if workflow.resource_settings.cores is None:
        cluster.check_config(config)
except PoseBenchError as error:
    # Without the traceback, which would bury the one line that matters.
    raise WorkflowError(str(error)) from None

RUN = f"results/{settings.run_name(config)}"
DATASET = config["dataset"]
ROLES = ("detector", "pose")
# The image conditions of all suites of the run, clean first.
CHOSEN = settings.conditions(config)
STUDY_CHOSEN = [name for name in CHOSEN if CONDITIONS[name].suite == "study"]
# What is compared with PyTorch: each once, whatever number of rows run it.
ARTIFACTS = [
    name
    for name in dict.fromkeys(BENCHMARKS[benchmark].artifact.name for benchmark in config["benchmarks"])
    if name != SOURCE.name
]
# The config files laid over config/config.yaml, and the command that makes this run again.
OVERRIDES = provenance.override_files(workflow.configfiles)
COMMAND = " ".join(["snakemake --cores all", *(["--configfile", *OVERRIDES] if OVERRIDES else [])])

# The folders of the runs that are to be compared, the baseline first; none without such a wish.
COMPARED = [str(run_folders.find(name)) for name in (config["baseline"], config["candidate"]) if name]
COMPARISON = f"results/compare/{'-vs-'.join(map(run_folders.label, COMPARED))}"

# What stands in every table, figure and grid.
SHOWN = {
    "title": f"{config['models']['detector']['name']} + {config['models']['pose']['name']} on {DATASET['title']}",
    "notice": config["notice"],
}
LIB_TABLES = expand(
    "workflow/scripts/posebench/{name}.py",
    name=[
        "tables",
        "parity_tables",
        "accuracy_tables",
        "accuracy_pages",
        "bootstrap",
        "hardware",
        "results",
        "study",
    ],
)
SCHEMAS = expand("workflow/schemas/{kind}.schema.yaml", kind=["latency", "robustness", "parity", "sweep"])

# Modules whose change must remake what the models make.
LIB_MODELS = expand(
    "workflow/scripts/posebench/{name}.py",
    name=[
        "models",
        "networks",
        "openmmlab",
        "pipeline",
        "device_pipeline",
        "device_ops",
        "backends/base",
        "backends/onnxruntime",
        "backends/torch",
    ],
)

# The resources of a job, by needs(minutes, mem_mb, device, alone).
needs = partial(cluster.needs, config["cluster"])


wildcard_constraints:
    condition="|".join(CHOSEN),
    benchmark="|".join(config["benchmarks"]),
    role="|".join(ROLES),


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


def measuring_threads():
    """All cores, so that nothing runs beside a measurement; on a cluster, with a node alone, what it uses."""
    # A job on a cluster must ask for as much inside its allocation as it was given.
    here = None if workflow.remote_exec else workflow.resource_settings.cores
    return here or config["threads"]


def prediction_threads():
    """All cores, as the table shows the speed of a prediction; a number in the config lets shards share them."""
    return measuring_threads() if config["threads"] == "auto" else config["threads"]


def conda_env(runtime, device):
    """The conda file of a runtime: one for all on CUDA, one each on the CPU."""
    name = "cuda" if device == "cuda" else {"pytorch": "torch"}.get(runtime, runtime)
    return f"../../envs/{name}.yaml"


def batches_device():
    """cuda where a GPU is among what the batches are measured on, else cpu."""
    on_gpu = any(STUDY_ARTIFACTS[name].device == "cuda" for name in config["batches"]["artifacts"])
    return "cuda" if on_gpu else "cpu"


def no_runs_to_compare(wildcards):
    """Say how to name the runs when a comparison is asked for without them."""
    raise WorkflowError(
        "Which runs? Say: snakemake compare --config baseline=<run> candidate=<run>. Runs here: "
        + ", ".join(run_folders.known())
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
