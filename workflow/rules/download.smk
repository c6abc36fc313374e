"""Download what the study needs from elsewhere: COCO and the checkpoints.

Needs   config/downloads.tsv; the network, or `asset_mirror` in the config
Makes   data/downloads/<file>, verified
"""


# No ensure(sha256=...): of the checkpoints only the first digits are known. No retries: the script has its own,
# and what it gives up will not mend at once. ancient: an edited table or library must not throw 800 MB away; a
# changed sha256 does. The unfinished <file>.part is left undeclared, so that a failed job does not delete it.
rule download_asset:
    input:
        table=ancient("config/downloads.tsv"),
        lib=ancient("workflow/scripts/posegauge/download.py"),
    output:
        asset="data/downloads/{file}",
    log:
        "data/downloads/logs/{file}.log",
    wildcard_constraints:
        # A file name holds nothing but letters, digits, '.', '_' and '-' (downloads.schema.yaml).
        file="|".join(DOWNLOADS["file"].str.replace(".", r"\.")),
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    params:
        sha256=lookup(query="file == '{file}'", within=DOWNLOADS, cols="sha256"),
    message:
        "Fetch {wildcards.file}"
    script:
        "../scripts/download_asset.py"


# Everything in the table: to fill a mirror for machines without a network (data/README.md).
rule download_assets:
    input:
        expand("data/downloads/{file}", file=DOWNLOADS["file"]),
    localrule: True
