"""Check a run against committed results: make verify, or the target verify with config/verify.yaml.

Needs   `reference` in the config; scores, predictions, networks and comparison with PyTorch of the run
Makes   results/<run>/verify/figures.json, what is checked of this run; verify.{json,md}, each figure beside that of
        the reference; make_reference copies figures.json to the reference, which is tracked by git and no output
"""

REFERENCE = config["reference"]


rule gather_figures:
    input:
        scores=condition_files(),
        predictions=prediction_files(["detected"]),
        parity=parity_files(),
        models=expand(f"{RUN}/models/{{role}}.json", role=ROLES),
        person_images=person_images_file(),
        lib="workflow/scripts/posegauge/verify.py",
        schema="workflow/schemas/reference.schema.yaml",
    output:
        figures=f"{RUN}/verify/figures.json",
    log:
        f"{RUN}/logs/gather_figures.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        command=COMMAND,
    message:
        "Gather the figures that are checked against a reference"
    script:
        "../scripts/gather_figures.py"


if REFERENCE:

    rule check_figures:
        input:
            figures=f"{RUN}/verify/figures.json",
            # No rule's output: it would be made anew by what is to be checked.
            reference=REFERENCE,
            lib="workflow/scripts/posegauge/verify.py",
            schema="workflow/schemas/verify.schema.yaml",
        output:
            json=f"{RUN}/verify/verify.json",
            md=f"{RUN}/verify/verify.md",
        log:
            f"{RUN}/logs/check_figures.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        message:
            f"Check the run against {REFERENCE}"
        script:
            "../scripts/check_figures.py"

    # Without an output it always runs, and fails after the files of the check are written, so that they stay.
    rule verify:
        input:
            json=f"{RUN}/verify/verify.json",
            md=f"{RUN}/verify/verify.md",
        log:
            f"{RUN}/logs/verify.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        message:
            "Say whether the run agrees with its reference"
        script:
            "../scripts/print_verification.py"

    rule make_reference:
        input:
            figures=f"{RUN}/verify/figures.json",
        log:
            f"{RUN}/logs/make_reference.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        params:
            reference=REFERENCE,
        message:
            "Write {params.reference}"
        script:
            "../scripts/make_reference.py"

else:

    rule verify:
        input:
            no_reference,
