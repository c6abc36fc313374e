"""Make the run's ONNX file of one network: exported and compared with PyTorch, or copied from the user's."""

from posebench import logs
from posebench.coco import person_boxes, read_annotations, read_entry
from posebench.download import read_table, verify_listed
from posebench.export import PARITY_IMAGES, check_parity, copy_onnx, export_onnx, model_record
from posebench.networks import network, thread_count
from posebench.results import read_json, write_json

log = logs.start(snakemake.log[0])
config = snakemake.config
role = snakemake.params.role
source = network(config["models"], role)
target = snakemake.output.onnx
parity = None

if source.checkpoint is None:
    copy_onnx(source, target)
else:
    # A checkpoint that the user put there himself was not checked when it was downloaded.
    verify_listed(source.checkpoint, read_table(snakemake.input.downloads))
    gates = config["export"]
    export_onnx(source, target, gates["opset"])
    log.info("%s: written, comparing with PyTorch", target)
    annotations = read_annotations(snakemake.input.annotations)
    crops = []
    for entry in read_json(snakemake.input.person_images)["images"]:
        bboxes = person_boxes(annotations, entry["id"])
        if len(bboxes):
            crops.append((read_entry(snakemake.input.images, entry), bboxes))
        if len(crops) == PARITY_IMAGES:
            break
    threads = thread_count(config["threads"], snakemake.threads)
    parity = check_parity(source, target, crops, gates, config["pipeline"]["score_thr"], threads)
    log.info("parity: %s", parity)
write_json(snakemake.output.record, model_record(source, target, parity), "model.schema.yaml")
