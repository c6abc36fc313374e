"""The checks before any job."""
