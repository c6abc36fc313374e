"""Predictions of many images: the queue of images, the sweep over a condition, films."""
