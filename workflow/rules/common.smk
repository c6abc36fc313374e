"""Read and check the config; name the run, and what the other files share: RUN, DATASET, DOWNLOADS, artifacts."""

import atexit
import gc
import shlex
import sys
from functools import cache, partial
from pathlib import Path

from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config

# The folder of this repository, wherever Snakemake was started, and a path as jobs see it (a module may be given a
# prefix for all relative paths).
REPOSITORY = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).resolve().parents[1]
place = workflow.modifier.path_modifier.replace_prefix
AT_HOME = Path.cwd().resolve() == REPOSITORY and place("data") == "data"

# Snakemake puts this path into a shell's command as it stands: quoted, the environment may lie in a folder of any name.
if Path(sys.executable).exists():  # quoted once
    sys.executable = shlex.quote(sys.executable)

# What Snakemake and the rules load stays: looking through it for garbage, now and again at the end, took a third of
# the time of a run that has nothing to do.
gc.freeze()
gc.set_threshold(100_000, 20, 20)
atexit.register(gc.freeze)

sys.path.insert(0, str(REPOSITORY / "workflow" / "scripts"))

from posegauge import disk
from posegauge.data import download, given
from posegauge.errors import PoseGaugeError
from posegauge.install import locks
from posegauge.measure import power
from posegauge.report import closing, pages
from posegauge.settings import calibration_keys
from posegauge.settings import check as settings
from posegauge.settings import cluster, onnx_files, timing_only, training
from posegauge.settings import parts as config_parts
from posegauge.store import provenance, runs, used_code
from posegauge.store.runs import PUBLISHED
from posegauge.study import (
    BENCHMARKS,
    CONDITIONS,
    FP16_FILE,
    PIPELINE_KEYS,
    PREDICTION_SETS,
    SOURCE,
    Artifact,
    sources,
)
from posegauge.study import ARTIFACTS as KNOWN_ARTIFACTS

# A module's config stands for this workflow's own: what it does not say is as in config/config.yaml.
if workflow.modifier.skip_configfile:
    GIVEN, config = config, load_configfile(REPOSITORY / "config/config.yaml")
    update_config(config, GIVEN)
try:
    # What would change every number without a word; two packages of ONNX Runtime stop only the rows that use them.
    locks.refuse(provenance.machine.versions("numpy", *locks.OPENCV), sys.executable)
    settings.check_folder(REPOSITORY)
    # Without a number of cores of this machine the jobs run on others.
    elsewhere = workflow.resource_settings.cores is None
    # The process of a job need not look into the models, or for what the machine lacks, again.
    config = settings.check(
        config_parts.find_files(config, REPOSITORY, absolute=place("data") != "data"),
        read_models=workflow.is_main_process,
        lacks={"energy.source": power.refusal} if workflow.is_main_process and not elsewhere else {},
    )
    DOWNLOADS = download.read_table(REPOSITORY / "config/downloads.tsv")
    if elsewhere:
        cluster.check_config(config)
except PoseGaugeError as error:
    # Without the traceback, which would bury the one line that matters.
    raise WorkflowError(str(error)) from None

RUN = f"results/{settings.run_name(config)}"
# A plan may be shown anywhere; a run keeps its own state here.
if workflow.is_main_process and not workflow.output_settings.dryrun:
    if refused := disk.problem(".snakemake"):
        raise WorkflowError(refused)
# The networks with random weights: where there are any, everything is timed and nothing is scored.
RANDOM_ROLES = timing_only.roles(config)
config = timing_only.complete(config, f"{RUN}/models")
# The same for scripts.
SCRIPT_CONFIG = config_parts.placed(config, place)
DATASET = config["dataset"]
# Whether AP is given over the images without persons too.
ALL_IMAGES = DATASET["score_images"] == "all" and not RANDOM_ROLES
ROLES = ("detector", "pose")
# The image conditions of all suites of the run, clean first.
CHOSEN = settings.conditions(config)
STUDY_CHOSEN = [name for name in CHOSEN if CONDITIONS[name].suite == "study"]
# What each network is compared with, and the runtimes of that, PyTorch last: its environment has all.
SOURCES = sources(config["models"])
SOURCE_RUNTIMES = sorted({source.runtime for source in SOURCES.values()})
# What is compared: each once, whatever number of rows run it, and the FP16 files where one does.
CHOSEN_ARTIFACTS = {BENCHMARKS[benchmark].artifact: None for benchmark in config["benchmarks"]}
if any(artifact.onnx_precision == "fp16" for artifact in CHOSEN_ARTIFACTS):
    CHOSEN_ARTIFACTS[FP16_FILE] = None
ARTIFACTS = [
    artifact.name
    for artifact in CHOSEN_ARTIFACTS
    if artifact != SOURCE and any(artifact != source for source in SOURCES.values())
]
# Devices of the latency table.
DEVICES = list(dict.fromkeys(BENCHMARKS[benchmark].artifact.device for benchmark in config["benchmarks"]))
# What the jobs that measure several artifacts run: throughput, batches, cameras, peers.
SWEPT = [Artifact(runtime, config["robustness"]["device"]) for runtime in ("onnxruntime", "pytorch")]
BATCHED = [KNOWN_ARTIFACTS[name] for name in config["batches"]["artifacts"]]
SERVING = [KNOWN_ARTIFACTS[name] for name in config["cameras"]["artifacts"]]
BESIDE = {
    "cpu": [Artifact(runtime, "cpu") for runtime in ("onnxruntime", "openvino", "pytorch")],
    "cuda": [Artifact(runtime, "cuda") for runtime in ("onnxruntime", "pytorch")],
}
# The config files laid over config/config.yaml, and the command that makes this run again.
OVERRIDES = provenance.override_files(workflow.configfiles, REPOSITORY)
COMMAND = provenance.command(OVERRIDES, workflow.config_settings.config or {})

# The folders of the runs that are to be compared, the baseline first; none without such a wish.
COMPARED = [
    str(runs.find(name, place("results"))) for name in (config["baseline"], config["candidate"]) if name
]
COMPARISON = f"results/compare/{'-vs-'.join(map(runs.label, COMPARED))}"
# The folders of the runs that are set on the board; none without such a wish.
BOARDED = [str(runs.find(name, place("results"))) for name in config["runs"]]
BOARD = "results/board"

# The kinds of records of the run; its subjects in the report, those of them with a table, and what these are made of.
RECORD_KINDS = [
    "latency",
    "parity",
    "roofline",
    "peers",
    "batches",
    "cameras",
    *([] if RANDOM_ROLES else ["scores", "throughput"]),
    *(["all_images"] if ALL_IMAGES else []),
    *(["detect_every"] if config["detect_every"]["clip"] else []),
]
PAGES = pages.shown(RECORD_KINDS)
TABLE_PAGES = [page for page in PAGES if page.table]
TABLE_KINDS = list(dict.fromkeys(kind for page in TABLE_PAGES for kind in page.reads))
# What stands in every table, figure and grid.
SHOWN = {
    "title": f"{config['models']['detector']['name']} + {config['models']['pose']['name']} on {DATASET['title']}",
    "notice": config["notice"],
}
# The predictions for the robustness tables; with the device auto it is found out by the job.
PREDICTOR = Artifact(config["robustness"]["runtime"], config["robustness"]["device"])


wildcard_constraints:
    condition="|".join(CHOSEN),
    benchmark="|".join(config["benchmarks"]),
    role="|".join(ROLES),
    precision="fp16|int8|int8_openvino",
    shard=r"\d+",
    artifact="|".join(ARTIFACTS) or "none",
    tracked="|".join(config["detect_every"]["artifacts"]),
    device="cpu|cuda",
    figure="|".join(pages.FIGURES),


def own(path):
    """A file of this repository, by its path in there."""
    return path if AT_HOME else str(REPOSITORY / path)
