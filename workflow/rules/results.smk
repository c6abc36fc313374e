"""The files that the run makes, by functions that several rules share; nothing is made here."""


def converted_files():
    """What is made of the ONNX files for the run's artifacts: those of other precisions, engines' records."""
    exported = [network_file(role) for role in ROLES]
    paths = networks_of([artifact.name for artifact in CHOSEN_ARTIFACTS])
    return [path for path in paths if path.startswith(f"{RUN}/") and path not in exported]


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


def unwritable(jobs):
    """Why these jobs cannot write their files, one line for each folder; the sizes of downloads are known."""
    needed = {}
    for job in jobs:
        for path in map(Path, [*job.output, *job.log]):
            needed.setdefault(path.parent, disk.LEAST_FREE_BYTES)
        if job.rule.name == "download_asset":
            needed[Path(job.output.asset).parent] += download.missing_bytes(DOWNLOADS, job.output.asset)
    found = [disk.problem(folder, needed_bytes) for folder, needed_bytes in needed.items()]
    return list(dict.fromkeys(filter(None, found)))


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
    """The comparison of every artifact with its source."""
    return expand(f"{RUN}/parity/{{artifact}}.json", artifact=ARTIFACTS)


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


def peers_files():
    """The pipeline beside other programs, on the devices of the latency table."""
    return expand(f"{RUN}/peers/{{device}}.json", device=DEVICES)


def detect_every_files():
    """The detector on every n-th frame of the film, by artifact."""
    return expand(f"{RUN}/detect_every/{{artifact}}.json", artifact=config["detect_every"]["artifacts"])


def records_of(*kinds):
    """The records of these kinds by name, as posegauge.report.records.Run asks for them."""
    files = {
        "latency": benchmark_files(),
        "parity": parity_files(),
        "roofline": roofline_files(),
        "peers": peers_files(),
        "batches": f"{RUN}/batches.json",
        "cameras": f"{RUN}/cameras.json",
        "throughput": f"{RUN}/throughput.json",
        "detect_every": detect_every_files(),
        "scores": condition_files(),
        "all_images": f"{RUN}/all_images.json",
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


def with_trained_weights(*files):
    """The files, which need predictions, as a list: empty with random weights."""
    return [] if RANDOM_ROLES else list(files)
