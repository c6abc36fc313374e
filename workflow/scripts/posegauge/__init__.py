"""Accuracy, latency and robustness of multi-person pose estimation from one hashed artifact."""
