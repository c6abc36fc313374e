"""Draw one of the figures of the scores: robustness, loss, calibration or coco_c."""

from posegauge import logs
from posegauge.report import calibration, coco_c, loss, robustness
from posegauge.report.records import read_scores, robustness_table

log = logs.start(snakemake.log[0])
params = snakemake.params
records = read_scores(snakemake.input.robustness)
shown = (snakemake.output.figure, params.title, params.notice)
match params.figure:
    case "robustness":
        robustness.plot_robustness(robustness_table(records), *shown)
    case "loss":
        loss.plot_loss(loss.loss_table(records), *shown)
    case "calibration":
        calibration.plot_calibration(records, *shown)
    case "coco_c":
        tables = robustness_table(records), coco_c.suites_table(records)
        coco_c.plot_coco_c(*tables, *shown)
log.info("%s: %d conditions", snakemake.output.figure, len(records))
