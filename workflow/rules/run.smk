"""Close the run: run.json with the config, the machine, the revision and the sha256 of every result file.

Needs   everything else of the run
Makes   results/<run>/run.json
"""


rule write_run:
    input:
        predictions=with_trained_weights(*prediction_files()),
        records=with_trained_weights(
            *expand(f"{RUN}/predictions/{{condition}}/record.json", condition=CHOSEN)
        ),
        boxes=with_trained_weights(f"{RUN}/predictions/clean/boxes.json"),
        scores=with_trained_weights(*condition_files()),
        replicates=with_trained_weights(*replicate_files()),
        latency=benchmark_files(),
        limits=limits_files(),
        parity=parity_files(),
        sweep=with_trained_weights(f"{RUN}/sweep.json"),
        batches=f"{RUN}/batches.json",
        batch_pages=rules.show_batches.output,
        peers=rules.measure_peers.output.peers,
        networks=expand(f"{RUN}/models/{{role}}.onnx", role=ROLES),
        models=expand(f"{RUN}/models/{{role}}.json", role=ROLES),
        converted=converted_files(),
        tables=rules.make_tables.output,
        findings=rules.write_findings.output,
        readme=rules.write_readme.output,
        person_images=person_images_file(),
        lib=expand("workflow/scripts/posegauge/{name}.py", name=["provenance", "hardware"]),
        schema="workflow/schemas/run.schema.yaml",
    output:
        run=f"{RUN}/run.json",
    log:
        f"{RUN}/logs/write_run.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        overrides=OVERRIDES,
        command=COMMAND,
    message:
        "Write {output.run}"
    script:
        "../scripts/write_run.py"
