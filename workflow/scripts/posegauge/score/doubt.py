"""The last net: scores that sound data and models cannot have together."""

# Keypoint AP below the first in annotated boxes of clean images, with a box AP above the second, means that
# annotations and model have other keypoints. RTMDet-nano and TinyPose have .74 and .41 on photographs.
KEYPOINT_AP, BOX_AP = 0.05, 0.15

# A person in fewer of the clean images than this share: the detector finds next to nobody.
FEW = 0.05


def doubt(record: dict | None) -> str | None:
    """Say why the scores of clean images cannot be believed; None where they can, or of another condition.

    record: of robustness.schema.yaml.
    """
    if record is None or record["condition"] != "clean":
        return None
    found, images = record["counts"]["detected"]["images_detected"], record["images"]
    if found < FEW * images:
        return (
            f"A person was found in {found or 'none'} of {images} clean images, so what follows from boxes "
            "means next to nothing. Does the detector take other pixels than models.detector.pixels says "
            "(yolox: bytes as they are), or is another class the person (models.detector.person_label)?"
        )
    keypoints = record["scores"]["annotated"]["ap"]["value"]
    boxes = record["scores"]["detected"]["box_ap"]["value"]
    if boxes is None or boxes < BOX_AP or (keypoints is not None and keypoints >= KEYPOINT_AP):
        return None
    found = "none at all" if keypoints is None else f"{keypoints:.3f}"
    return (
        f"These scores cannot be believed: keypoint AP in annotated boxes is {found}, though box AP is "
        f"{boxes:.3f}. Do the annotations name their keypoints in the order in which they stand, and is the "
        "pose model one of COCO's 17, with its own input size and normalisation?"
    )
