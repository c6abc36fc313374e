"""Train the two small models of the demo anew (target train_demo; no other target needs these rules).

Needs   config/training.yaml; about an hour on two cores
Makes   data/training/ (scenes to learn from), results/training/ (checkpoints, logs) and, at the end, copies
        the published files to data/demo/. Those are tracked by git and are no rule's output, so the demo
        never starts a training by itself.
"""

TRAINING = own("config/training.yaml")


rule render_training_scenes:
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
        scenes=lambda wildcards: training.scenes(TRAINING)[wildcards.part],
    message:
        "Render the synthetic scenes for {wildcards.part}"
    script:
        "../scripts/render_scenes.py"


rule train_demo_model:
    input:
        train="data/training/train/annotations.json",
        train_images="data/training/train/images",
        val="data/training/val/annotations.json",
        val_images="data/training/val/images",
    output:
        checkpoint="results/training/published/{role}.pth",
        record="results/training/published/{role}.json",
    log:
        "results/training/logs/train_demo_{role}.log",
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **needs(minutes=480, mem_mb=4000),
    params:
        code=code("train_demo"),
        settings=lambda wildcards: training.load(TRAINING, wildcards.role),
        work_dir=lambda wildcards: place(f"results/training/{wildcards.role}"),
    message:
        "Train the demo's {wildcards.role} model on synthetic scenes"
    script:
        "../scripts/train_demo.py"


rule publish_demo:
    input:
        **{role: f"results/training/published/{role}.pth" for role in ROLES},
        **{f"{role}_record": f"results/training/published/{role}.json" for role in ROLES},
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
        scenes=lambda wildcards: training.scenes(TRAINING),
    message:
        "Copy the trained models and their record to {params.folder}"
    script:
        "../scripts/publish_demo.py"


rule train_demo:
    input:
        rules.publish_demo.output,
