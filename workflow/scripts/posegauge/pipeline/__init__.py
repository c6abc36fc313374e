"""From an image to poses: the steps, on the host and on the device, and the study's protocol."""
