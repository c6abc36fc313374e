"""Export networks to ONNX. Whether the file is still the model is asked elsewhere: see measure.parity."""

import contextlib
import io
import warnings
from dataclasses import asdict

from posegauge.models.network import Network
from posegauge.store.files import atomic_path, sha256_file


def export_onnx(network: Network, path, opset: int) -> None:
    """Write the network as ONNX with a dynamic batch and, for the detector, a fixed image size.

    Inputs and outputs are named as in posegauge.backends.base.Session. The file appears whole or not at all.
    """
    import onnx
    import torch

    from posegauge.models import build

    module = build.build_network(network)
    width, height = network.input_size
    names = ["input", *module.output_names]
    with atomic_path(path) as temporary:
        # The exporter prints and warns at length about constants that are meant to be constant.
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                (torch.zeros(1, 3, height, width),),
                str(temporary),
                input_names=names[:1],
                output_names=names[1:],
                dynamic_axes={name: {0: "batch"} for name in names},
                opset_version=opset,
                dynamo=False,
            )
        onnx.checker.check_model(str(temporary), full_check=True)


def model_record(network: Network, onnx_path, notes: list[str] = ()) -> dict:
    """Describe a network and its files, for results/<run>/models/<role>.json.

    notes: what adopt.copy_onnx returned.
    """
    import onnx

    model = onnx.load(str(onnx_path))
    checkpoint = network.checkpoint
    return {
        "schema_version": 1,
        "kind": "model",
        "role": network.role,
        "name": network.name,
        "input_size": list(network.input_size),
        "source": _source(network),
        "adopted": list(notes),
        "network": asdict(network),
        "checkpoint_sha256": None if checkpoint is None else sha256_file(checkpoint),
        "onnx": str(onnx_path),
        "onnx_sha256": sha256_file(onnx_path),
        "opset": model.opset_import[0].version,
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
    }


def _source(network: Network) -> str:
    if network.checkpoint is None:
        return "given ONNX file"
    return f"{'random weights, timing only, ' if network.random else ''}exported by this workflow"
