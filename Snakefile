"""Reproducible benchmark of real-time multi-person pose estimation.

snakemake --cores all                                    the full COCO study (config/config.yaml)
snakemake --cores all --configfile config/demo.yaml      the same in small, without a network or a GPU
snakemake --cores 1 compare --config baseline=a candidate=b     two finished runs beside each other
"""

from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


report: "report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/files.smk"
include: "workflow/rules/download.smk"
include: "workflow/rules/scenes.smk"
include: "workflow/rules/dataset.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/precisions.smk"
include: "workflow/rules/engines.smk"
include: "workflow/rules/parity.smk"
include: "workflow/rules/robustness.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/batches.smk"
include: "workflow/rules/peers.smk"
include: "workflow/rules/pictures.smk"
include: "workflow/rules/video.smk"
include: "workflow/rules/summary.smk"
include: "workflow/rules/run.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/verify.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/cluster.smk"


rule all:
    default_target: True
    input:
        rules.make_tables.output,
        rules.plot_latency.output,
        rules.show_batches.output,
        rules.plot_peers.output,
        with_trained_weights(
            rules.plot_robustness.output,
            rules.plot_loss.output,
            rules.plot_calibration.output,
            rules.plot_coco_c.output,
            rules.draw_grids.output,
            rules.draw_corruptions.output,
        ),
        annotated_video(),
        rules.write_findings.output,
        rules.write_readme.output,
        rules.write_run.output,
        rules.write_report_pages.output,


onsuccess:
    if Path(f"{RUN}/readme.md").is_file():
        print(f"\nResults: {RUN}/ (tables/, figures/, grids/; {RUN}/readme.md shows them together)")
