"""Check a run against committed results: make verify, or the target verify with config/verify.yaml.

Needs   `reference` in the config; scores, predictions, networks and comparison with PyTorch of the run
Makes   results/<run>/verify/values.json, what is checked of this run; verify.{json,md}, each value beside that of
        the reference; make_reference copies values.json to the reference, which is tracked by git and no output
"""

REFERENCE = config["reference"]


rule collect_values:
    input:
        scores=condition_files(),
        predictions=prediction_files(["detected"]),
        parity=parity_files(),
        models=expand(f"{RUN}/models/{{role}}.json", role=ROLES),
        person_images=person_images_file(),
    output:
        values=f"{RUN}/verify/values.json",
    log:
        f"{RUN}/logs/collect_values.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        code=code("collect_values"),
        config=chosen(*PIPELINE_KEYS, "seed"),
        command=COMMAND,
    message:
        "Collect the values that are checked against a reference"
    script:
        "../scripts/collect_values.py"


if REFERENCE:

    rule check_values:
        input:
            values=f"{RUN}/verify/values.json",
            # No rule's output: it would be made anew by what is to be checked.
            reference=REFERENCE,
        output:
            json=f"{RUN}/verify/verify.json",
            md=f"{RUN}/verify/verify.md",
        log:
            f"{RUN}/logs/check_values.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        params:
            code=code("check_values"),
        message:
            f"Check the run against {REFERENCE}"
        script:
            "../scripts/check_values.py"

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
            values=f"{RUN}/verify/values.json",
        log:
            f"{RUN}/logs/make_reference.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        params:
            reference=place(REFERENCE),
        message:
            "Write {params.reference}"
        script:
            "../scripts/make_reference.py"

else:

    rule verify:
        input:
            no_reference,
