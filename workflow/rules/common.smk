"""Read and check the config; name the files of the run.

What the other files share stands here: RUN, DATASET, DOWNLOADS, threads and environments; files.smk has the files.
"""

import sys
from functools import partial
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "scripts"))

from posegauge.data import download
from posegauge.settings import check as settings
from posegauge.settings import cluster, timing_only
from posegauge.store import provenance, runs, used_code
from posegauge.errors import PoseGaugeError
from posegauge.store.runs import PUBLISHED
from posegauge.study import BENCHMARKS, CONDITIONS, FP16_FILE, PREDICTION_SETS, SOURCE
from posegauge.study import ARTIFACTS as KNOWN_ARTIFACTS

try:
    config = settings.check(config)
    DOWNLOADS = download.read_table("config/downloads.tsv")
    # Without a number of cores of this machine the jobs run on others.
    if workflow.resource_settings.cores is None:
        cluster.check_config(config)
except PoseGaugeError as error:
    # Without the traceback, which would bury the one line that matters.
    raise WorkflowError(str(error)) from None

RUN = f"results/{settings.run_name(config)}"
# The networks with random weights: where there are any, everything is timed and nothing is scored.
RANDOM_ROLES = timing_only.roles(config)
config = timing_only.complete(config, f"{RUN}/models")
DATASET = config["dataset"]
ROLES = ("detector", "pose")
# The image conditions of all suites of the run, clean first.
CHOSEN = settings.conditions(config)
STUDY_CHOSEN = [name for name in CHOSEN if CONDITIONS[name].suite == "study"]
# What is compared with PyTorch: each once, whatever number of rows run it, and the FP16 files where one does.
CHOSEN_ARTIFACTS = {BENCHMARKS[benchmark].artifact: None for benchmark in config["benchmarks"]}
if any(artifact.onnx_precision == "fp16" for artifact in CHOSEN_ARTIFACTS):
    CHOSEN_ARTIFACTS[FP16_FILE] = None
ARTIFACTS = [artifact.name for artifact in CHOSEN_ARTIFACTS if artifact != SOURCE]
# Devices of the latency table.
DEVICES = list(dict.fromkeys(artifact.device for artifact in CHOSEN_ARTIFACTS))
# The config files laid over config/config.yaml, and the command that makes this run again.
OVERRIDES = provenance.override_files(workflow.configfiles)
COMMAND = provenance.command(OVERRIDES, workflow.config_settings.config or {})

# The folders of the runs that are to be compared, the baseline first; none without such a wish.
COMPARED = [str(runs.find(name)) for name in (config["baseline"], config["candidate"]) if name]
COMPARISON = f"results/compare/{'-vs-'.join(map(runs.label, COMPARED))}"

# What stands in every table, figure and grid.
SHOWN = {
    "title": f"{config['models']['detector']['name']} + {config['models']['pose']['name']} on {DATASET['title']}",
    "notice": config["notice"],
}
LIB_TABLES = expand(
    "workflow/scripts/posegauge/{name}.py",
    name=[
        "tables",
        "parity_tables",
        "peers_tables",
        "accuracy_tables",
        "accuracy_pages",
        "bootstrap",
        "gpu_monitor",
        "hardware",
        "limits",
        "machine_tables",
        "results",
        "study",
    ],
)
SCHEMAS = expand(
    "workflow/schemas/{kind}.schema.yaml",
    kind=["latency", "limits", "robustness", "parity", "sweep", "peers"],
)

# Modules whose change must remake what the models make.
LIB_MODELS = expand(
    "workflow/scripts/posegauge/{name}.py",
    name=[
        "models",
        "networks",
        "openmmlab",
        "pipeline",
        "device_pipeline",
        "device_ops",
        "backends/base",
        "backends/device",
        "backends/half",
        "backends/onnx_checks",
        "backends/onnx_half",
        "backends/onnxruntime",
        "backends/openvino",
        "backends/tensorrt",
        "backends/torch",
    ],
)

# The resources of a job, by needs(minutes, mem_mb, device, alone).
needs = partial(cluster.needs, config["cluster"])


wildcard_constraints:
    condition="|".join(CHOSEN),
    benchmark="|".join(config["benchmarks"]),
    role="|".join(ROLES),


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
    on_cpu = {"pytorch": "torch", "openvino": "onnxruntime"}
    name = "cuda" if device == "cuda" else on_cpu.get(runtime, runtime)
    return f"../../envs/{name}.yaml"


def batches_device():
    """cuda where a GPU is among what the batches are measured on, else cpu."""
    on_gpu = any(KNOWN_ARTIFACTS[name].device == "cuda" for name in config["batches"]["artifacts"])
    return "cuda" if on_gpu else "cpu"


def trained_weights(wildcards):
    """Nothing, for rules that predict or score: refuse random weights before any job runs."""
    if RANDOM_ROLES:
        raise WorkflowError(timing_only.refusal("predictions and scores", RANDOM_ROLES))
    return []


def with_trained_weights(*files):
    """The files, which need predictions, as a list: empty with random weights."""
    return [] if RANDOM_ROLES else list(files)
