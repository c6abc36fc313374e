"""Print whether the run agrees with its reference, and fail where it does not."""

from posebench import logs, verify
from posebench.errors import PoseBenchError
from posebench.results import read_json

logs.start(snakemake.log[0])
verification = read_json(snakemake.input.json)
text = f"{verify.summary(verification)}\n  see {snakemake.input.md}"
if not verification["agrees"]:
    raise PoseBenchError(text)
print(f"\nVerified: {text}\n")
