"""Print what this Python makes of the same input: sha256 of pictures and crops, and predictions.

Run by test_pythons.py: python what_a_python_makes.py <detector.onnx> <pose.onnx>
"""

import hashlib
import json
import sys
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[2] / "workflow" / "scripts"
SCENES = 3


def main(detector: str, pose: str) -> None:
    sys.path.insert(0, str(LIBRARY))
    import cv2
    import numpy as np

    from posegauge import backends
    from posegauge.data import corruptions
    from posegauge.data.scenes import scenes
    from posegauge.models.network import Network
    from posegauge.pipeline.pipeline import Pipeline
    from posegauge.pipeline.steps import Settings, pose_input
    from posegauge.study import STUDY_CONDITIONS, Artifact

    def sha256(array) -> str:
        return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()

    cv2.setNumThreads(1)
    networks = [
        Network(role="detector", name="demo", input_size=(320, 320), onnx=detector),
        Network(role="pose", name="demo", input_size=(192, 256), onnx=pose),
    ]
    sessions = [backends.load(network, Artifact("onnxruntime", "cpu"), 1) for network in networks]
    pipeline = Pipeline(*sessions, *(network.input_size for network in networks), Settings())
    conditions = [*STUDY_CONDITIONS, "coco_c_glass_blur_3", "coco_c_jpeg_compression_3"]
    made, found = {}, {}
    for index in range(SCENES):
        image, _, _ = scenes.render_scene(7, index, 2)
        for condition in conditions:
            picture = corruptions.apply(condition, image, 42, index)
            made[f"{condition} {index}"] = sha256(picture)
            persons = pipeline(picture)
            found[f"{condition} {index}"] = [
                array.tolist() for array in (persons.bboxes, persons.bbox_scores, persons.keypoints)
            ]
        crop = pose_input(image, np.float32([[200, 200]]), np.float32([[150.3, 200.4]]), (192, 256))
        made[f"crop {index}"] = sha256(crop)
    print(json.dumps({"made": made, "found": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
