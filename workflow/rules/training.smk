"""Train the two small models of the demo anew (target train_demo; no other target needs these rules).

Needs   config/training.yaml; about an hour on two cores
Makes   data/training/ (scenes to learn from), results/training/ (checkpoints, logs) and, at the end, copies
        the published files to data/demo/. Those are tracked by git and are no rule's output, so the demo
        never starts a training by itself.
"""


rule render_training_scenes:
    input:
        settings=own("config/training.yaml"),
    output:
        images=directory("data/training/{part}/images"),
        annotations="data/training/{part}/annotations.json",
    log:
        "results/training/logs/render_training_scenes_{part}.log",
    wildcard_constraints:
        part="train|val",
    conda:
        "../../envs/analysis.yaml"
    threads: 2
    resources:
        **needs(minutes=60, mem_mb=2000),
    params:
        code=code("render_scenes"),
    message:
        "Render the synthetic scenes for {wildcards.part}"
    script:
        "../scripts/render_scenes.py"


rule train_demo_detector:
    input:
        settings=own("config/training.yaml"),
        train="data/training/train/annotations.json",
        train_images="data/training/train/images",
        val="data/training/val/annotations.json",
        val_images="data/training/val/images",
    output:
        checkpoint="results/training/published/rtmdet_nano_demo.pth",
        record="results/training/published/detector.json",
    log:
        "results/training/logs/train_demo_detector.log",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **needs(minutes=480, mem_mb=4000),
    params:
        code=code("train_demo"),
        role="detector",
        work_dir=place("results/training/detector"),
    message:
        "Train the demo detector on synthetic scenes"
    script:
        "../scripts/train_demo.py"


rule train_demo_pose:
    input:
        settings=own("config/training.yaml"),
        train="data/training/train/annotations.json",
        train_images="data/training/train/images",
        val="data/training/val/annotations.json",
        val_images="data/training/val/images",
    output:
        checkpoint="results/training/published/rtmpose_t_demo.pth",
        record="results/training/published/pose.json",
    log:
        "results/training/logs/train_demo_pose.log",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **needs(minutes=480, mem_mb=4000),
    params:
        code=code("train_demo"),
        role="pose",
        work_dir=place("results/training/pose"),
    message:
        "Train the demo pose model on synthetic scenes"
    script:
        "../scripts/train_demo.py"


rule publish_demo:
    input:
        settings=own("config/training.yaml"),
        detector="results/training/published/rtmdet_nano_demo.pth",
        detector_record="results/training/published/detector.json",
        pose="results/training/published/rtmpose_t_demo.pth",
        pose_record="results/training/published/pose.json",
    output:
        done="results/training/published.done",
    log:
        "results/training/logs/publish_demo.log",
    localrule: True
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        code=code("publish_demo"),
        folder=own("data/demo"),
    message:
        "Copy the trained models and their record to {params.folder}"
    script:
        "../scripts/publish_demo.py"


rule train_demo:
    input:
        rules.publish_demo.output,
