"""What jobs run on: threads, devices, environments."""

# The resources of a job, by needs(minutes, mem_mb, device, alone).
needs = partial(cluster.needs, config["cluster"])


def measuring_threads():
    """All cores, so that nothing runs beside a measurement; on a cluster, with a node alone, what it uses."""
    # A job on a cluster must ask for as much inside its allocation as it was given.
    here = None if workflow.remote_exec else workflow.resource_settings.cores
    return here or config["threads"]


def prediction_threads():
    """All cores, as the table shows the speed of a prediction; a number in the config lets jobs share them."""
    configured = next((n for n in (config["robustness"]["threads"], config["threads"]) if n != "auto"), None)
    return configured or measuring_threads()


def conda_env(runtime, device):
    """The conda file of a runtime: one for all on CUDA, one each on the CPU."""
    on_cpu = {"pytorch": "torch", "openvino": "onnxruntime"}
    name = "cuda" if device == "cuda" else on_cpu.get(runtime, runtime)
    return f"../../envs/{name}.yaml"


def torch_env(wildcards):
    """The conda file of PyTorch on the device of a rule that is named by it."""
    return conda_env("pytorch", wildcards.device)


def parity_env(wildcards):
    """The conda file of an artifact's runtime: what its source gives lies in a file."""
    artifact = KNOWN_ARTIFACTS[wildcards.artifact]
    return conda_env(artifact.runtime, artifact.device)


def device_of(names):
    """cuda where one of the artifacts is on a GPU, else cpu."""
    return "cuda" if any(KNOWN_ARTIFACTS[name].device == "cuda" for name in names) else "cpu"


def device_wildcard(wildcards):
    """The device of a rule that is named by it."""
    return wildcards.device


def tracked_device(wildcards):
    """The device of the artifact that is measured on a film."""
    return KNOWN_ARTIFACTS[wildcards.tracked].device


def tracked_env(wildcards):
    """The conda file of that artifact's runtime; rtmlib, which runs beside ONNX Runtime, is in PyTorch's."""
    artifact = KNOWN_ARTIFACTS[wildcards.tracked]
    runtime = "pytorch" if artifact.runtime == "onnxruntime" else artifact.runtime
    return conda_env(runtime, artifact.device)


def artifact_device(wildcards):
    """The device of an artifact."""
    return KNOWN_ARTIFACTS[wildcards.artifact].device


def needs_by(device_of, **amounts):
    """The resources of jobs whose wildcards say on which device they run, by device_of(wildcards)."""
    by_device = {device: needs(device=device, **amounts) for device in ("cpu", "cuda")}
    return {name: partial(_resource, by_device, device_of, name) for name in by_device["cuda"]}


def _resource(by_device, device_of, name, wildcards, attempt):
    # None: the job does not ask for it.
    value = by_device[device_of(wildcards)].get(name)
    return value(wildcards, attempt) if callable(value) else value
