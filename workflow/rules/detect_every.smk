"""Measure what the detector on every n-th frame of a film costs and gives, one job per artifact.

Needs   `detect_every.clip`, a film; its annotations, if it is to be scored; the ONNX files or checkpoints
Makes   results/<run>/detect_every/<artifact>.json: the time of every frame, and the scores, by interval; beside
        ONNX Runtime in FP32 those of rtmlib's tracker, too
"""

if config["detect_every"]["clip"]:

    rule measure_detect_every:
        input:
            networks=tracked_networks,
            given=given_film,
            clip=config["detect_every"]["clip"],
            annotations=tracked_annotations(),
        output:
            record=f"{RUN}/detect_every/{{tracked}}.json",
        log:
            f"{RUN}/logs/measure_detect_every_{{tracked}}.log",
        benchmark:
            f"{RUN}/logs/measure_detect_every_{{tracked}}.jobcost.tsv"
        conda:
            tracked_env
        # Nothing may run beside a measurement.
        threads: measuring_threads()
        resources:
            **needs_by(tracked_device, minutes=120, mem_mb=8000, alone=True),
        params:
            onnx=tracked_onnx,
            config=tracked_config,
            code=tracked_code,
        message:
            "Time the detector on every n-th frame, {wildcards.tracked}"
        script:
            "../scripts/measure_detect_every.py"
