"""Metrics against annotations, calibration, and every kind of interval."""
