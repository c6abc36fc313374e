"""Where images and annotations come from: downloads, COCO, image conditions, rendered scenes, films."""
