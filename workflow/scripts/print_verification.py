"""Print whether the run agrees with its reference, and fail where it does not."""

from posegauge import logs
from posegauge.compare import verify
from posegauge.errors import PoseGaugeError
from posegauge.store.files import read_json

logs.start(snakemake.log[0])
verification = read_json(snakemake.input.json)
text = f"{verify.summary(verification)}\n  see {snakemake.input.md}"
if not verification["agrees"]:
    raise PoseGaugeError(text)
logs.say(f"Verified: {text}")
