"""Train the demo detector and the demo pose model with MMDetection's and MMPose's runner; publish them.

Both start from random weights and learn from synthetic scenes only (data.scenes). The network is the one
of the base config, so a published checkpoint loads in exactly that config; only the data, the schedule
and SyncBN (BN on one device) are ours. The augmentations are those of RTMDet's and RTMPose's configs, and
mild light, blur and noise (posegauge.models.augment), weaker than the study's conditions: those are meant to
hurt.
"""

import contextlib
import io
import json
import logging
import os
import platform
import re
import shutil
import time
from pathlib import Path

import torch

from posegauge.errors import PoseGaugeError
from posegauge.models import openmmlab
from posegauge.models.build import config_path
from posegauge.models.checkpoints import read_checkpoint
from posegauge.store import files, machine

ORIGIN = "trained from scratch on synthetic scenes rendered by this repository"


def _plain_batch_norm(node) -> None:
    """Turn SyncBN, which needs several GPUs, into BN everywhere in a config."""
    if isinstance(node, dict):
        if node.get("type") == "SyncBN":
            node["type"] = "BN"
        for value in node.values():
            _plain_batch_norm(value)
    elif isinstance(node, list | tuple):
        for value in node:
            _plain_batch_norm(value)


def _loader(dataset: dict, batch: int, learn: bool) -> dict:
    return {
        "batch_size": batch,
        "num_workers": 1,
        "persistent_workers": True,
        "drop_last": learn,
        "sampler": {"type": "DefaultSampler", "shuffle": learn},
        "dataset": dataset,
    }


def _scenes(folder, pipeline, learn: bool, settings) -> dict:
    """Return the dataset section shared by both frameworks; `folder` holds annotations.json and images/."""
    return {
        "type": "CocoDataset",
        "data_root": f"{Path(folder).resolve()}/",
        "ann_file": "annotations.json",
        "data_prefix": {"img": "images/"},
        "test_mode": not learn,
        "indices": settings["learn_at_most"] if learn else None,
        "pipeline": pipeline,
    }


def _common(config, settings, scope: str, work_dir, save_best: str):
    """Set what both trainings share: optimiser, schedule, averaged weights, checkpoints, log."""
    epochs = settings["epochs"]
    flat = max(epochs // 3, 1)
    config.work_dir = str(work_dir)
    config.load_from, config.resume = None, False
    config.randomness = {"seed": settings["seed"]}
    config.train_cfg = {"type": "EpochBasedTrainLoop", "max_epochs": epochs, "val_interval": 1}
    config.optim_wrapper = {
        "type": "OptimWrapper",
        "optimizer": {
            "type": "AdamW",
            "lr": settings["learning_rate"],
            "weight_decay": settings["weight_decay"],
        },
        "paramwise_cfg": {"norm_decay_mult": 0, "bias_decay_mult": 0, "bypass_duplicate": True},
        "clip_grad": {"max_norm": 35},
    }
    config.param_scheduler = [
        {"type": "LinearLR", "start_factor": 0.01, "by_epoch": False, "begin": 0, "end": settings["warmup"]}
    ]
    if epochs > flat:
        config.param_scheduler.append(
            {
                "type": "CosineAnnealingLR",
                "eta_min": settings["learning_rate"] * 0.01,
                "begin": flat,
                "end": epochs,
                "T_max": epochs - flat,
                "by_epoch": True,
                "convert_to_iter_based": True,
            }
        )
    config.auto_scale_lr = None
    config.default_hooks.checkpoint = {
        "type": "CheckpointHook",
        "interval": 1,
        "max_keep_ckpts": 2,
        "save_best": save_best,
        "rule": "greater",
    }
    config.default_hooks.logger.interval = 20
    config.custom_hooks = [
        {
            "type": "EMAHook",
            "ema_type": "ExpMomentumEMA",
            "momentum": settings["ema_momentum"],
            "gamma": 200,
            "update_buffers": True,
            "priority": 49,
        }
    ]
    config.env_cfg.mp_cfg.mp_start_method = "fork"
    config.default_scope = scope
    # A single-process run with visual output off: losses go to work_dir as JSON lines.
    config.visualizer.vis_backends = [{"type": "LocalVisBackend"}]
    # mmengine keeps one visualizer per name in a process, and it writes where the first one did.
    config.visualizer.name = str(work_dir)
    for key in ("test_dataloader", "test_evaluator", "test_cfg"):
        config.pop(key, None)
    _plain_batch_norm(config.model)
    config.model.backbone.pop("init_cfg", None)  # never fetch pretrained weights
    return config


def detector_config(settings: dict, train_dir, val_dir, work_dir):
    """Return the mmengine Config that trains the detector; see config/training.yaml for `settings`."""
    from mmengine.config import Config

    openmmlab.install()
    _register()
    config = Config.fromfile(config_path(settings["base"]))
    size, crop = settings["input"], settings["crop"]

    def pipeline(side, scale, scale_range, mosaic):
        return [
            {"type": "LoadImageFromFile"},
            {"type": "LoadAnnotations", "with_bbox": True},
            {"type": "MildDegradation", **settings["degradation"]},
            *mosaic,
            {"type": "RandomResize", "scale": (scale, scale), "ratio_range": scale_range, "keep_ratio": True},
            {"type": "RandomCrop", "crop_size": (side, side), "allow_negative_crop": not mosaic},
            {"type": "YOLOXHSVRandomAug"},
            {"type": "RandomFlip", "prob": 0.5},
            {"type": "Pad", "size": (side, side), "pad_val": {"img": (114, 114, 114)}},
            {"type": "PackDetInputs"},
        ]

    person = {"metainfo": {"classes": ("person",)}}
    # Four images on a canvas of twice the size: each is as large in there as a whole image later. Crops
    # without a person are drawn again, as in RTMDet's config.
    mosaic = {"type": "CachedMosaic", "img_scale": (size, size), "pad_val": 114.0}
    mosaic |= {"max_cached_images": 20, "random_pop": False}
    first = pipeline(crop, 2 * size, (0.65, 1.2), [mosaic])
    # Scenes without people stay in: they teach the detector what no person looks like.
    train = _scenes(train_dir, first, True, settings) | person | {"filter_cfg": {"filter_empty_gt": False}}
    val = _scenes(val_dir, config.val_dataloader.dataset.pipeline, False, settings) | person
    config.train_dataloader = _loader(train, settings["batch"], True)
    config.train_dataloader["batch_sampler"] = None
    config.val_dataloader = _loader(val, 16, False)
    config.val_evaluator = {
        "type": "CocoMetric",
        "ann_file": str(Path(val_dir) / "annotations.json"),
        "metric": "bbox",
    }
    config = _common(config, settings, "mmdet", work_dir, "coco/bbox_mAP")
    switch = settings["epochs"] - settings["whole_image_epochs"]
    if 0 < switch < settings["epochs"]:
        last = pipeline(size, size, (0.7, 1.2), [])
        hook = {"type": "PipelineSwitchHook", "switch_epoch": switch, "switch_pipeline": last}
        config.custom_hooks.append(hook)
    return config


def pose_config(settings: dict, train_dir, val_dir, work_dir):
    """Return the mmengine Config that trains the pose model; see config/training.yaml for `settings`."""
    from mmengine.config import Config

    openmmlab.install()
    _register()
    config = Config.fromfile(config_path(settings["base"]))
    codec = config.codec
    train_pipeline = [
        {"type": "LoadImage"},
        {"type": "MildDegradation", **settings["degradation"]},
        {"type": "GetBBoxCenterScale"},
        {"type": "RandomFlip", "direction": "horizontal"},
        {"type": "RandomHalfBody"},
        {
            "type": "RandomBBoxTransform",
            "shift_factor": 0.08,
            "scale_factor": [0.75, 1.25],
            "rotate_factor": settings["rotate_deg"],
        },
        {"type": "TopdownAffine", "input_size": codec["input_size"]},
        {"type": "mmdet.YOLOXHSVRandomAug"},
        {"type": "CoveredPatch", "prob": settings["covered"]},
        {"type": "GenerateTarget", "encoder": codec},
        {"type": "PackPoseInputs"},
    ]
    val_pipeline = [
        {"type": "LoadImage"},
        {"type": "GetBBoxCenterScale"},
        {"type": "TopdownAffine", "input_size": codec["input_size"]},
        {"type": "PackPoseInputs"},
    ]
    topdown = {"data_mode": "topdown"}
    train = _scenes(train_dir, train_pipeline, True, settings) | topdown
    val = _scenes(val_dir, val_pipeline, False, settings) | topdown
    config.train_dataloader = _loader(train, settings["batch"], True)
    config.val_dataloader = _loader(val, 32, False)
    annotations = str((Path(val_dir) / "annotations.json").resolve())
    config.val_evaluator = {"type": "CocoMetric", "ann_file": annotations}
    config.model.test_cfg.flip_test = False
    return _common(config, settings, "mmpose", work_dir, "coco/AP")


def _register() -> None:
    """Make the transforms of models.augment known by name; mmcv must not load before OpenMMLab does."""
    import posegauge.models.augment  # noqa: F401


def train(config, threads: int) -> dict:
    """Run a training; return {"wall_s", "best_checkpoint", "losses", "val"}.

    `losses` are [epoch, iteration, loss] every 20 iterations, `val` the metrics of every epoch.
    """
    from mmengine.runner import Runner

    begin = time.monotonic()
    runner = Runner.from_cfg(config)
    torch.set_num_threads(threads)
    # About a third faster on CPUs: depthwise convolutions work along the channels.
    runner.model.to(memory_format=torch.channels_last)
    runner.train()
    work_dir = Path(config.work_dir)
    # No best one when no epoch found anything at all (a smoke test): then the last.
    found = sorted(work_dir.glob("best_*.pth")) or [work_dir / f"epoch_{config.train_cfg.max_epochs}.pth"]
    return {
        "wall_s": round(time.monotonic() - begin, 1),
        "best_checkpoint": str(found[-1]),
        **read_scalars(work_dir / runner.timestamp / "vis_data" / "scalars.json"),
    }


def read_scalars(path) -> dict:
    """Read mmengine's scalars.json (JSON lines): {"losses": [[epoch, iteration, loss]], "val": [{...}]}."""
    losses, val = [], []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if "loss" in row:
            losses.append([row["epoch"], row["iter"], round(row["loss"], 5)])
        else:
            metrics = {k.split("/")[-1]: round(v, 4) for k, v in row.items() if k.startswith("coco/")}
            val.append({"epoch": row["step"], **metrics})
    return {"losses": losses, "val": val}


def publish(checkpoint, path) -> str:
    """Write the weights of a training checkpoint to `path`, in half precision, and return the sha256.

    mmengine's EMAHook has put the averaged weights into `state_dict`. Optimiser, hooks and times are left
    out, so the same weights give the same file. mmengine's load_checkpoint casts back to float32.
    """
    loaded = read_checkpoint(checkpoint)
    weights = {}
    for name, value in loaded["state_dict"].items():
        value = value.detach().contiguous()
        weights[name] = value.half() if value.is_floating_point() else value
        if not torch.isfinite(weights[name]).all():
            raise PoseGaugeError(f"{checkpoint}: {name} does not fit into half precision")
    classes = loaded.get("meta", {}).get("dataset_meta") or {}
    meta = {"origin": ORIGIN, "dataset_meta": {k: classes[k] for k in ("classes", "CLASSES") if k in classes}}
    # Into memory first: torch writes the name of a file into it, and the temporary name is a random one.
    stream = io.BytesIO()
    torch.save({"meta": meta, "state_dict": weights}, stream)
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(stream.getvalue())
    return files.sha256_file(path)


def run_part(role: str, settings: dict, train_file, val_file, work_dir, checkpoint, record) -> None:
    """Train `role` ('detector' or 'pose') with what settings.training.load gives; write weights and record.

    `train_file` and `val_file` are annotation files that stand beside a folder images/.
    """
    build = {"detector": detector_config, "pose": pose_config}[role]
    config = build(settings, Path(train_file).parent, Path(val_file).parent, work_dir)
    logging.getLogger("mmengine").setLevel(logging.INFO)
    trained = train(config, settings["threads"])
    sha256 = publish(trained.pop("best_checkpoint"), checkpoint)
    files.write_json(record, training_record(role, settings, trained, checkpoint, sha256))


def training_record(role: str, settings: dict, trained: dict, checkpoint, sha256: str) -> dict:
    """Return what is told of one training: the published file, settings, time, losses, metrics per epoch."""
    metric = {"detector": "bbox_mAP", "pose": "AP"}[role]
    best = max(trained["val"], key=lambda row: row.get(metric, 0), default=None)
    return {
        "file": settings["file"],
        "bytes": Path(checkpoint).stat().st_size,
        "sha256": sha256,
        "settings": {key: value for key, value in settings.items() if key != "file"},
        "wall_s": trained["wall_s"],
        "machine": {"cpu": _cpu_name(), "cores": os.cpu_count(), "threads_used": settings["threads"]},
        "versions": versions(),
        "best": best,
        "val": trained["val"],
        "losses_columns": ["epoch", "iteration", "loss"],
        "losses": trained["losses"],
    }


def publish_folder(folder, checkpoints: dict, records: dict, scenes: dict) -> dict:
    """Copy the trained checkpoints to `folder`, write training.json beside them and return its content.

    `checkpoints` and `records` map 'detector' and 'pose' to the files that `run_part` wrote; `scenes` are
    those of config/training.yaml. Raises PoseGaugeError when a checkpoint is not the one of its record.
    """
    parts = {role: files.read_json(path) for role, path in records.items()}
    for role, path in checkpoints.items():
        if files.sha256_file(path) != parts[role]["sha256"]:
            raise PoseGaugeError(
                f"{path}: not the file that {records[role]} tells of; train the {role} again"
            )
        with files.atomic_path(Path(folder) / parts[role]["file"]) as temporary:
            shutil.copyfile(path, temporary)
    record = {
        "schema_version": files.SCHEMA_VERSION,
        "kind": "training",
        "origin": ORIGIN,
        "licence": "the licence of this repository",
        "scenes": scenes,
        "models": parts,
    }
    # One line per list of numbers keeps the file short and its changes readable.
    text = json.dumps(record, indent=1)
    text = re.sub(r"\[\s+([-\d.e]+),\s+([-\d.e]+),\s+([-\d.e]+)\s+\]", r"[\1, \2, \3]", text)
    files.write_text(Path(folder) / "training.json", text + "\n")
    return record


def _cpu_name() -> str:
    """Return the processor's name where Linux tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def versions() -> dict:
    """Return the versions of the libraries that a training depends on."""
    return machine.versions(
        "torch",
        "mmengine",
        "mmcv-lite",
        "mmdet",
        "mmpose",
        "numpy",
        "opencv-python",
        "opencv-python-headless",
    )
