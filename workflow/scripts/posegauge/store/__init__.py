"""Files, run folders, records, the machine, provenance."""
