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
from posegauge.backends.assemble import config_keys
from posegauge.store.runs import PUBLISHED
from posegauge.study import BENCHMARKS, CONDITIONS, FP16_FILE, PREDICTION_SETS, SOURCE, Artifact
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
# What the jobs that measure several artifacts run: throughput, batches, peers.
SWEPT = [Artifact(runtime, config["robustness"]["device"]) for runtime in ("onnxruntime", "pytorch")]
BATCHED = [KNOWN_ARTIFACTS[name] for name in config["batches"]["artifacts"]]
BESIDE = [SOURCE, Artifact("onnxruntime", "cpu")]
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
    kind=["latency", "roofline", "robustness", "parity", "throughput", "peers"],
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
    artifact="|".join(ARTIFACTS) or "none",
    device="cpu|cuda",


def code(script, *more, without=(), in_job=False):
    """For params: {file of the library: digest} of what a script uses, so that a change of it runs the rule again.

    script: its name. more: modules and definitions that it finds at run time ("backends.torch"); without: what the
    rule gives it in another way ("study:CONDITIONS"). in_job: the script itself reads this param.
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


def chosen(*keys):
    """For params: the part of the config with these keys alone; "benchmark.image" is a key inside another."""
    return settings.part(config, keys)


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


def needs_by(device_of, **amounts):
    """The resources of a rule whose wildcards say which device it runs on: device_of(wildcards)."""
    by_device = {device: needs(device=device, **amounts) for device in ("cpu", "cuda")}
    return {name: partial(_resource, by_device, device_of, name) for name in by_device["cuda"]}


def _resource(by_device, device_of, name, wildcards, attempt):
    # None: the job does not ask for it.
    value = by_device[device_of(wildcards)].get(name)
    return value(wildcards, attempt) if callable(value) else value


def roofline_env(wildcards):
    """The conda file of PyTorch, which measures what a device can do."""
    return conda_env("pytorch", wildcards.device)


def device_wildcard(wildcards):
    """The device of a rule that is named by it."""
    return wildcards.device


def artifact_device(wildcards):
    """The device of an artifact."""
    return KNOWN_ARTIFACTS[wildcards.artifact].device


def parity_env(wildcards):
    """The conda file of an artifact's runtime: what PyTorch gives lies in a file."""
    artifact = KNOWN_ARTIFACTS[wildcards.artifact]
    return conda_env(artifact.runtime, artifact.device)


def runtime_keys(*artifacts):
    """For chosen(): the keys that pipelines of these artifacts are built from."""
    return dict.fromkeys(key for artifact in artifacts for key in config_keys(artifact))


def row_config(benchmark):
    """For params: what of the config a benchmark row reads."""
    # Not how many processes: asking for five instead of three keeps the three that were measured.
    protocol = [f"benchmark.{key}" for key in ("image", "boxes", "warmup", "max_warmup", "runs")]
    return chosen("threads", *protocol, *runtime_keys(BENCHMARKS[benchmark].artifact))


def parity_config(wildcards):
    """For params: what of the config the comparison of an artifact reads."""
    read = ("bootstrap.resamples", "dataset.unreadable", "parity", "seed", "threads")
    return chosen(*read, *runtime_keys(KNOWN_ARTIFACTS[wildcards.artifact]))


def parity_code(wildcards):
    """For params: the code that the comparison of an artifact uses."""
    used = runtimes(KNOWN_ARTIFACTS[wildcards.artifact])
    return code("check_parity", *used, without=["study:ARTIFACTS"])(wildcards)


def trained_weights(wildcards):
    """Nothing, for rules that predict or score: refuse random weights before any job runs."""
    if RANDOM_ROLES:
        raise WorkflowError(timing_only.refusal("predictions and scores", RANDOM_ROLES))
    return []


def with_trained_weights(*files):
    """The files, which need predictions, as a list: empty with random weights."""
    return [] if RANDOM_ROLES else list(files)
