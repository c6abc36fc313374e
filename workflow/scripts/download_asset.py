"""Fetch one file of config/downloads.tsv and verify it."""

from posegauge import logs
from posegauge.data.download import download, read_table

logs.start(snakemake.log[0])
table = read_table(snakemake.input.table)
download(
    table.loc[snakemake.wildcards.file],
    snakemake.output.asset,
    mirror=snakemake.params.mirror,
)
