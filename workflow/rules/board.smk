"""The board: rows of any number of finished runs, from their folders alone: AP against time, and what to take.

Needs   `runs` in the config: names of runs under results/, or paths to copies of such folders
Makes   results/board/: board.md and board.html, tables/, figures/, findings.json; board.json with their sha256
"""

if BOARDED:

    # The folders are no inputs: one may be that of this config, whose files are then not made anew for a board. That
    # they changed shows in `state`.
    rule draw_board:
        input:
            pairs=own("config/published_pairs.yaml"),
            study=own("config/published_t4.yaml"),
        output:
            json=f"{BOARD}/board.json",
            md=f"{BOARD}/board.md",
            html=report(
                f"{BOARD}/board.html",
                caption="../../report/captions/board.rst",
                category="Board",
                labels={"what": "The board", "as": "page"},
            ),
            findings=f"{BOARD}/findings.json",
            rows=report(
                f"{BOARD}/tables/board.csv",
                caption="../../report/captions/board.rst",
                category="Board",
                labels={"what": "Every row", "as": "CSV to download"},
            ),
            changes=f"{BOARD}/tables/changes.csv",
            history=f"{BOARD}/tables/history.csv",
            intervals=f"{BOARD}/tables/intervals.csv",
            figure=report(
                f"{BOARD}/figures/board.png",
                caption="../../report/captions/board.rst",
                category="Board",
                labels={"what": "AP against milliseconds", "as": "figure"},
            ),
            past=f"{BOARD}/figures/history.png",
        log:
            f"{BOARD}/logs/draw_board.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        params:
            code=code("draw_board"),
            folders=BOARDED,
            state=[runs.state(folder) for folder in BOARDED],
            board=config["board"],
        message:
            f"Set {len(BOARDED)} runs on the board"
        script:
            "../scripts/draw_board.py"

    # Without an output it always runs, so that the findings are shown even when nothing had to be made.
    rule board:
        input:
            findings=rules.draw_board.output.findings,
            md=rules.draw_board.output.md,
        log:
            f"{BOARD}/logs/board.log",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        message:
            "Show what the board says"
        script:
            "../scripts/print_board.py"

else:

    rule board:
        input:
            no_runs_for_the_board,
