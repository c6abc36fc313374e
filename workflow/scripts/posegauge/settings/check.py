"""The check of the config: every problem at once, each as one line that says what to do about it."""

import functools
import math
import os
from pathlib import Path

import jsonschema

from posegauge.errors import PoseGaugeError, nearest
from posegauge.settings import calibration_keys, film_keys, model_keys, run_keys
from posegauge.settings.parts import PATHS
from posegauge.store import files, machine, runs
from posegauge.study import (
    ARTIFACTS,
    BENCHMARKS,
    COCO_C_CORRUPTIONS,
    SEVERITIES,
    STUDY_CONDITIONS,
    SUITES,
    coco_c_name,
)

DEFAULTS = "config/config.yaml"


TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list",
    "object": "a group of keys",
    "boolean": "true or false",
    "null": "null",
}


# Keys that older configs have, and what has taken their place. Null was "do nothing": so it is.
GONE = {"readme": "a run writes no README any more; take the key out, and say make publish RUN=<run>"}


# Folders of data/ that have another use than one data set.
RESERVED = ("downloads", "demo", "photographs")


def check_folder(folder: Path) -> None:
    """Raise PoseGaugeError when Snakemake cannot work from a repository in this folder."""
    if found := [character for character in "{}" if character in str(folder)]:
        raise PoseGaugeError(
            f"{folder}: the repository lies in a folder with {' and '.join(found)} in its name, which "
            "Snakemake takes for wildcards. Rename the folder, or move the repository to another"
        )


@functools.cache
def schema() -> dict:
    """Return workflow/schemas/config.schema.yaml, references filled in and the names of the study added."""
    rules = files.read_schema("config.schema.yaml")
    model = rules.pop("$defs")["model"]
    for network in rules["properties"]["models"]["properties"].values():
        del network["$ref"]
        own = {key: network[key] for key in ("properties", "required")}
        network.update(model, description=network["description"])
        network["properties"] = {**model["properties"], **own["properties"]}
        network["required"] = [*model["required"], *own["required"]]
    lists = rules["properties"]
    coco_c = lists["coco_c"]["properties"]
    for entry, names in (
        (lists["benchmarks"], BENCHMARKS),
        (lists["batches"]["properties"]["artifacts"], ARTIFACTS),
        (lists["cameras"]["properties"]["artifacts"], ARTIFACTS),
        (lists["detect_every"]["properties"]["artifacts"], ARTIFACTS),
        (lists["suites"], SUITES),
        (lists["conditions"], STUDY_CONDITIONS),
        (coco_c["corruptions"], COCO_C_CORRUPTIONS),
        (coco_c["severities"], SEVERITIES),
    ):
        entry["items"]["enum"] = list(names)
    return rules


def check(config: dict, read_models: bool = False, lacks: dict | None = None) -> dict:
    """Return a copy of `config` after every check; its values have the types that the schema wants.

    read_models: look into the model files that are there, too: whether they are what the pipeline needs.
    lacks: {place of a key: function that says of its value why this machine cannot do it, or None}.

    Text that stands for a number, true, false or null (--config "benchmark={'runs': 20}") becomes that.
    Paths are relative to the working directory. A file under data/ need not exist, since the workflow may
    make it. Raises PoseGaugeError that lists all problems.
    """
    if not isinstance(config, dict):
        raise PoseGaugeError(f"config: is {_shown(config)}, expected keys and values as in {DEFAULTS}")
    config = _plain(
        {key: config[key] for key in config if key not in GONE or config[key] is not None}, schema()
    )
    problems, faulty = _schema_problems(config)
    problems += _not_finite(config)
    combinations = _Combinations(config, faulty, read_models)
    problems += combinations.problems()
    for place, lack in (lacks or {}).items():
        if (values := combinations.values(place)) and (told := lack(*values)):
            problems.append(told)
    if problems:
        heading = f"config: {len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise PoseGaugeError("\n".join([heading, *(f"  - {problem}" for problem in problems)]))
    return config


def conditions(config: dict) -> list[str]:
    """Return the names of all image conditions of a checked config, clean first."""
    chosen = ["clean"]
    if "study" in config["suites"]:
        chosen += [name for name in config["conditions"] if name != "clean"]
    if "coco_c" in config["suites"]:
        chosen += [
            coco_c_name(corruption, severity)
            for corruption in config["coco_c"]["corruptions"]
            for severity in config["coco_c"]["severities"]
        ]
    return chosen


def video_backend(config: dict) -> tuple[str, str]:
    """Return the runtime and the device (auto, cpu or cuda) of the annotated video."""
    runtime = config["video"]["runtime"] or config["robustness"]["runtime"]
    device = config["video"]["device"] or config["robustness"]["device"]
    return runtime, "cuda" if runtime == "tensorrt" else device


def run_name(config: dict) -> str:
    """Return the name of the folder under results/; for `run: auto` a name of this machine.

    An automatic name is kept in the environment variable POSEGAUGE_RUN, so that the jobs of one workflow
    agree on it even where they run on different machines.
    """
    if config["run"] != "auto":
        return config["run"]
    if "POSEGAUGE_RUN" not in os.environ:
        os.environ["POSEGAUGE_RUN"] = machine.slug(machine.fingerprint())
    return os.environ["POSEGAUGE_RUN"]


# ------------------------------------------------------------------------------------ values given as text


def _types(rule: dict) -> list[str]:
    types = rule.get("type", [])
    return [types] if isinstance(types, str) else types


def _plain(value, rule: dict):
    """Return a copy of `value` in which text that stands for a number, true, false or null has become it."""
    if isinstance(value, dict):
        rules = rule.get("properties", {})
        return {key: _plain(item, rules.get(key, {})) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, rule.get("items", {})) for item in value]
    if isinstance(value, str):
        types = _types(rule)
        if "null" in types and value.strip().lower() in ("null", "none", "~"):
            return None
        if "boolean" in types and value.strip().lower() in ("true", "false"):
            return value.strip().lower() == "true"
        for name, convert in (("integer", int), ("number", float)):
            if name in types:
                try:
                    return convert(value)
                except ValueError:
                    pass
    return value


# ------------------------------------------------------------------------------------ what the schema says


def _where(path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _shown(value) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text '{value}'"
    if isinstance(value, dict):
        return "a group of keys"
    return "a list" if isinstance(value, list) else f"the number {value}"


def _expected(rule: dict) -> str:
    """Return what a rule of the schema accepts, in words."""
    if "enum" in rule:
        return "one of " + ", ".join("null" if name is None else str(name) for name in rule["enum"])
    names = [TYPES[name] for name in _types(rule)]
    low, high = rule.get("minimum"), rule.get("maximum")
    bounds = ""
    if low is not None:
        bounds = f" from {low} to {high}" if high is not None else f", {low} or more"
    elif "exclusiveMinimum" in rule:
        bounds = f" above {rule['exclusiveMinimum']}"
    if "errorMessage" in rule:
        names = [rule["errorMessage"] + (", or null" if "null" in names else "")]
    elif names:
        names[0] += bounds
    return " or ".join(names)


def _schema_problems(config: dict) -> tuple[list[str], set[str]]:
    """Return (one line per fault that the schema finds, the places whose value cannot be used)."""
    problems, faulty = [], set()
    for error in jsonschema.Draft202012Validator(schema()).iter_errors(config):
        path = list(error.absolute_path)
        if error.validator == "additionalProperties":
            known = list(error.schema["properties"])
            for key in error.instance:
                if not path and key in GONE:
                    problems.append(f"{key}: {GONE[key]}")
                elif key not in known:
                    guess = nearest(key, known) or f"; known here: {', '.join(known)}"
                    problems.append(f"{_where([*path, str(key)])}: unknown key{guess}")
        elif error.validator == "required":
            for key in error.validator_value:
                place = _where([*path, key])
                if key not in error.instance and place not in faulty:
                    default = f"{DEFAULTS} has the default"
                    way_out = error.schema.get("errorMessage", default)
                    problems.append(f"{place}: is missing; {way_out}")
                    faulty.add(place)
        elif _where(path) not in faulty:  # one line per value is enough
            faulty.add(_where(path))
            problems.append(f"{_where(path)}: {_fault(error)}")
    return problems, faulty


def _fault(error: jsonschema.ValidationError) -> str:
    """Return what is wrong with one value and what was expected."""
    value, rule = error.instance, error.schema
    expected = _expected(rule)
    match error.validator:
        case "enum":
            return f"is {_shown(value)}, expected {expected}{nearest(value, rule['enum'])}"
        case "type":
            hint = ""
            if "array" in _types(rule) and not isinstance(value, dict | type(None)):
                hint = f", like [{value}]"
            elif "string" in _types(rule) and isinstance(value, int | float):
                hint = "; put it in quotes if it is meant"
            return f"is {_shown(value)}, expected {expected}{hint}"
        case "multipleOf":
            step = rule["multipleOf"]
            below = value // step * step
            return f"is {value}, expected a multiple of {step}, like {below} or {below + step}"
        case "minItems" | "maxItems":
            least, most = rule["minItems"], rule.get("maxItems")
            wanted = f"{least}" if least == most else f"at least {least}"
            return f"has {len(value)} entries, expected {wanted}"
        case "uniqueItems":
            twice = sorted({str(item) for item in value if value.count(item) > 1})
            return f"has {', '.join(twice)} more than once, expected each only once"
        case "minLength":
            return f"is empty, expected {expected}"
    return f"is {_shown(value)}, expected {expected}"


def _not_finite(value, path=()) -> list[str]:
    """Return a line for every number that is infinite or not a number; the schema lets them through."""
    if isinstance(value, dict):
        return [line for key, item in value.items() for line in _not_finite(item, (*path, key))]
    if isinstance(value, list):
        return [line for index, item in enumerate(value) for line in _not_finite(item, (*path, index))]
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{_where(path)}: is {value}, expected an ordinary number"]
    return []


# ------------------------------------------------------------------------------- keys that belong together


class _Combinations:
    """Checks across keys; one that needs a key with a fault of its own is left out."""

    def __init__(self, config: dict, faulty: set[str], read_models: bool):
        self.config = config
        self.faulty = faulty
        self.read_models = read_models

    def values(self, *places: str):
        """Return the values at dotted places, or None when one of them cannot be used."""
        found = []
        for place in places:
            value, path = self.config, ""
            for key in place.split("."):
                path = f"{path}.{key}" if path else key
                if path in self.faulty or not isinstance(value, dict) or key not in value:
                    return None
                value = value[key]
            found.append(value)
        return found

    def problems(self) -> list[str]:
        checks = (
            self.run,
            self.paths,
            self.dataset,
            self.scenes,
            self.detector,
            self.pose,
            self.robustness,
            self.thresholds,
            self.calibration,
            self.video,
            self.detect_every,
            self.runs,
        )
        return [problem for check in checks for problem in check()]

    def run(self):
        values = self.values("run")
        if values and values[0] in runs.RESERVED:
            yield f"run: results/{values[0]}/ has another use, expected another name"

    def paths(self):
        for key in (*PATHS, "video.output"):
            values = self.values(key)
            if values and values[0] and set("{}") & set(values[0]):
                yield (
                    f"{key}: '{values[0]}' has a brace in it, which Snakemake takes for a wildcard; "
                    "rename it, or give a link to it: ln -s <it> <name>"
                )

    def dataset(self):
        if values := self.values("dataset.name"):
            (name,) = values
            if name in RESERVED:
                yield f"dataset.name: data/{name}/ has another use, expected another name"
            # The rule that reads the annotations writes these.
            made = [
                Path("data", str(name), file).resolve()
                for file in ("person_images.json", "read_annotations.json")
            ]
            given = self.values("dataset.annotations")
            if given and given[0] and Path(given[0]).resolve() in made:
                yield f"dataset.annotations: '{given[0]}' is written by the workflow; name it otherwise"
        # Whether it is a file of annotations is found when it is read, before the first job.
        for key, exists, kind in (("images", Path.is_dir, "folder"), ("annotations", Path.exists, "file")):
            if values := self.values("dataset.kind", f"dataset.{key}"):
                if values[0] == "folder" and values[1] is None:
                    yield f"dataset.{key}: is null, but kind folder needs the path of your {key}"
                elif values[0] == "folder" and not exists(Path(values[1])):
                    yield f"dataset.{key}: no {kind} '{values[1]}' (seen from {Path.cwd()})"
                elif values[0] != "folder" and values[1] is not None:
                    yield f"dataset.{key}: is set, but kind is {values[0]}; say kind: folder, or {key}: null"

    def scenes(self):
        values = self.values("dataset.kind", "dataset.scenes.images", "dataset.scenes.empty")
        if not values or values[0] != "scenes":
            return
        _, images, empty = values
        if empty >= images:
            yield f"dataset.scenes.empty: is {empty}, expected less than dataset.scenes.images ({images})"
            return
        expected = self.values("dataset.expected_person_images")
        if expected and expected[0] not in (None, images - empty):
            yield (
                f"dataset.expected_person_images: is {expected[0]}, but {images} scenes, {empty} of them "
                f"empty, leave {images - empty}; say so, or null"
            )

    def detector(self):
        return model_keys.problems(self.values, "models.detector", self.read_models)

    def pose(self):
        return model_keys.problems(self.values, "models.pose", self.read_models)

    def robustness(self):
        return self.runtime("robustness.runtime")

    def runtime(self, place: str):
        values = self.values(place, "models.detector.onnx", "models.pose.onnx")
        if values and values[0] == "pytorch":
            names = [name for name, onnx in zip(("detector", "pose"), values[1:], strict=True) if onnx]
            if names:
                yield (
                    f"{place}: is pytorch, but {' and '.join(f'models.{name}' for name in names)} "
                    "is an ONNX file; say onnxruntime"
                )

    def video(self):
        yield from self.runtime("video.runtime")
        values = self.values("video.input", "video.output")
        if not values:
            return
        source, target = values
        if source and film_keys.random_weights(self.values):
            yield "video.input: is set, but a model has random weights (checkpoint: null), which find nobody"
        if source is None:
            if target is not None:
                yield "video.output: is set, but video.input is null; say which video, or output: null"
            return
        made = Path(source).parts[:1] == ("data",)
        if Path(source).is_dir() or (any(sign in source for sign in "%*?") and not Path(source).is_file()):
            pictures = f"'{source}/*.jpg'" if Path(source).is_dir() else f"'{source}'"
            glob = "" if "%" in source else "-pattern_type glob "
            yield (
                f"video.input: '{source}' stands for several pictures, expected one video file; make one: "
                f"ffmpeg -framerate 10 {glob}-i {pictures} -c:v libx264 -pix_fmt yuv420p film.mp4"
            )
        elif not made and not Path(source).is_file():
            yield f"video.input: no file '{source}' (seen from {Path.cwd()})"
        if target is not None and Path(source).resolve() == Path(target).resolve():
            yield f"video.output: is the input '{source}' itself; expected another file"

    def detect_every(self):
        return film_keys.problems(self.values)

    def calibration(self):
        return calibration_keys.problems(self.values)

    def thresholds(self):
        for name in ("bbox_thr", "person_thr"):
            values = self.values("pipeline.score_thr", f"pipeline.{name}")
            if values and values[1] < values[0]:
                yield (
                    f"pipeline.{name}: is {values[1]}, expected score_thr ({values[0]}) or more: boxes below "
                    "score_thr are dropped before they could count"
                )

    def runs(self):
        yield from run_keys.compared(self.values)
        yield from run_keys.boarded(self.values)
