"""Choose images of a folder of the user's to set the ranges of INT8 by; none that is scored."""

from posegauge import logs
from posegauge.data.calibration import choose_own, refuse_shared, with_keypoints
from posegauge.store.files import write_json

logs.start(snakemake.log[0])
how = snakemake.params
data, chosen = choose_own(snakemake.input.annotations, how.folder, how.images, **how.look, unfit=how.unfit)
# All that might be taken: another number of them is no reason for another verdict.
refuse_shared(
    how.folder, with_keypoints(data["images"], data), snakemake.input.scored, snakemake.input.scored_images
)
write_json(snakemake.output.annotations, data, indent=None)
write_json(snakemake.output.person_images, {"images": chosen})
