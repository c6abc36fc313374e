"""Setting up: which packages, for which Python, processor and driver. Imports Python's own library alone."""
