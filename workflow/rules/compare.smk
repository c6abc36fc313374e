"""Compare two runs, from their result folders alone: the verdict, what differs, every row and condition.

Needs   baseline and candidate in the config: names of runs under results/, or paths to copies of such folders
Makes   results/compare/<baseline>-vs-<candidate>/compare.{json,csv,md,png}; results/published-t4/, the published
        study as such a folder, when it is one of the two or asked for (make_published_run)
"""


rule make_published_run:
    input:
        facts=own("config/published_t4.yaml"),
    output:
        run=f"results/{PUBLISHED}/run.json",
        latency=directory(f"results/{PUBLISHED}/latency"),
        robustness=directory(f"results/{PUBLISHED}/robustness"),
    log:
        f"results/{PUBLISHED}/logs/make_published_run.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        code=code("make_published_run"),
    message:
        "Write what was published to results/"
    script:
        "../scripts/make_published_run.py"


if COMPARED:

    # The two folders are no inputs: one may be that of this config, whose files are then not made anew for a
    # comparison. That they changed shows in `state`.
    rule compare_runs:
        input:
            published=rules.make_published_run.output.run if place(f"results/{PUBLISHED}") in COMPARED else [],
        output:
            json=f"{COMPARISON}/compare.json",
            csv=report(
                f"{COMPARISON}/compare.csv",
                caption="../../report/captions/compare.rst",
                category="Comparison",
                labels={"what": "table"},
            ),
            md=f"{COMPARISON}/compare.md",
            png=report(
                f"{COMPARISON}/compare.png",
                caption="../../report/captions/compare.rst",
                category="Comparison",
                labels={"what": "figure"},
            ),
        log:
            f"{COMPARISON}/logs/compare_runs.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        params:
            code=code("compare_runs"),
            folders=COMPARED,
            state=[runs.state(folder) for folder in COMPARED],
        message:
            f"Compare {COMPARED[1]} with {COMPARED[0]}"
        script:
            "../scripts/compare_runs.py"

    # Without an output it always runs, so that the verdict is shown even when nothing had to be made. The files
    # are written whatever the verdict, and no job fails for it: workflow/compare.py turns it into an exit code.
    rule compare:
        input:
            json=rules.compare_runs.output.json,
            md=rules.compare_runs.output.md,
        log:
            f"{COMPARISON}/logs/compare.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        message:
            "Show the verdict"
        script:
            "../scripts/print_comparison.py"

else:

    rule compare:
        input:
            no_runs_to_compare,
