"""Draw one of the figures of the scores: robustness, loss, calibration or coco_c."""

from posebench import accuracy_figures, accuracy_tables, logs

log = logs.start(snakemake.log[0])
params = snakemake.params
records = accuracy_tables.read_scores(snakemake.input.robustness)
shown = (snakemake.output.figure, params.title, params.notice)
match params.figure:
    case "robustness":
        accuracy_figures.plot_robustness(accuracy_tables.robustness_table(records), *shown)
    case "loss":
        accuracy_figures.plot_loss(accuracy_tables.loss_table(records), *shown)
    case "calibration":
        accuracy_figures.plot_calibration(records, *shown)
    case "coco_c":
        tables = accuracy_tables.robustness_table(records), accuracy_tables.suites_table(records)
        accuracy_figures.plot_coco_c(*tables, *shown)
log.info("%s: %d conditions", snakemake.output.figure, len(records))
