"""A PyTorch network in FP16, except where FP16 would cost accuracy.

Weights and activations are FP16 (module.half() in effect), not autocast: autocast casts every weight anew in
each forward pass and picks its operators for training. FP32 stays, at next to no cost:
- norm layers' parameters (their input and output are FP16): a variance may not fit into FP16;
- the detector's last convolutions and the box decode: FP16 has steps of .25 above 256, boxes are in pixels;
- the pose head behind its convolution (ScaleNorm, GAU, the two classifiers): sums of squares overflow FP16.
"""

import torch
from torch import nn

# Within a head; what a head lacks is passed over.
FP32_LAYERS = {"detector": ("rtm_cls", "rtm_reg", "rtm_obj"), "pose": ("mlp", "gau", "cls_x", "cls_y")}


DESCRIPTION = {
    "detector": "FP16; FP32: norm parameters, last convolutions, box decode, outputs",
    "pose": "FP16; FP32: norm parameters, head behind its convolution (ScaleNorm, GAU, classifiers), outputs",
}


_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


def _inputs_to_fp32(_module, inputs):
    return tuple(value.float() if torch.is_tensor(value) else value for value in inputs)


def _fp32_layers(network: nn.Module, role: str) -> list[nn.Module]:
    """The layers of the head that stay FP32; the whole head where it has none of the known names."""
    head = network.model.bbox_head if role == "detector" else network.model.head
    layers = [getattr(head, name) for name in FP32_LAYERS[role] if hasattr(head, name)]
    # Nobody calls a ModuleList itself.
    layers = [part for layer in layers for part in (layer if isinstance(layer, nn.ModuleList) else [layer])]
    return layers or [head]


class HalfNetwork(nn.Module):
    """A network of models.build in FP16: float32 [N, 3, height, width] in, its outputs as float32 out.

    Activations are channels last, the layout of the FP16 matrix units.
    """

    def __init__(self, network: nn.Module, role: str):
        super().__init__()
        self.output_names = network.output_names
        self.network = network
        kept = [module for module in network.modules() if isinstance(module, _NORMS)]
        for layer in _fp32_layers(network, role):
            layer.register_forward_pre_hook(_inputs_to_fp32)
            kept.append(layer)
        fp32 = {id(value) for module in kept for value in (*module.parameters(), *module.buffers())}
        # The network's own buffers are the priors of the box decode, in pixels.
        fp32 |= {id(value) for value in network.buffers(recurse=False)}
        for module in network.modules():
            for values in (module._parameters, module._buffers):
                for name, value in values.items():
                    if value is not None and value.dtype == torch.float32 and id(value) not in fp32:
                        half = value.detach().half()
                        values[name] = nn.Parameter(half, False) if values is module._parameters else half
        self.to(memory_format=torch.channels_last)

    def forward(self, batch):
        """Return the outputs of the network as float32."""
        batch = batch.to(torch.float16, memory_format=torch.channels_last)
        return tuple(output.float() for output in self.network(batch))
