"""Random weights for a model without a checkpoint: good for timing, and for nothing else.

The networks compute what trained ones compute, on numbers of the usual size, so that no runtime meets values
that it would never meet with trained weights (zeros, denormal or infinite numbers). What they find is noise.
"""

import numpy as np

from posegauge.errors import PoseGaugeError
from posegauge.models.network import Network
from posegauge.pipeline import steps
from posegauge.pipeline.conventions import USUAL
from posegauge.store.files import atomic_path

# Of the measured image so many boxes have a score above SCORE, as of a trained detector in a busy street.
CANDIDATES, SCORE = 100, 0.1


# Largest distance of the detector's scores from 0, before sigmoid and bias; the sides of its boxes from their
# centre in strides, and the largest distance of their logarithm from that (no exponential: of themselves).
# The largest, not the standard deviation: the tails are long.
LOGIT_MAX, BOX_STRIDES, BOX_MAX = 4.0, 3.0, 0.7


# Scale of every batch norm: with 1 the activations bend more, and layer after layer enlarges rounding errors.
NORM_SCALE = 0.5


# Images from which the statistics of the networks' inside are taken.
IMAGES = 8


def write(network: Network, seed: int, images: list[np.ndarray], path) -> None:
    """Write a PyTorch checkpoint of random weights, {"state_dict", "meta"}; it appears whole or not at all.

    images: uint8 BGR [H, W, 3] each, the one that is to be measured first, see settle. The weights depend on
    the network's config, the seed and the images only, and on the versions of the libraries that draw them.
    """
    import torch

    from posegauge.models import build

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build.init_model(network)
        settle(model, network, images)
    meta = {"weights": "random", "seed": seed, "config": network.config}
    with atomic_path(path) as temporary:
        torch.save({"state_dict": model.state_dict(), "meta": meta}, temporary)


def settle(model, network: Network, images: list[np.ndarray]) -> None:
    """Give the layers the statistics that training would have given them, from some images.

    With PyTorch's first values the signal fades from layer to layer. So each batch norm takes the mean
    and the variance of what it sees, and the detector's last layers are scaled: about CANDIDATES scores
    of the first image come out above SCORE, of boxes about 2 x BOX_STRIDES strides wide, which overlap:
    NMS has its usual work there. On other images it may have none, or much more: such a network answers
    to colours above all.
    """
    import torch

    model.eval()
    norms = [layer for layer in model.modules() if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm)]
    hooks = [layer.register_forward_pre_hook(_take_statistics) for layer in norms]
    with torch.no_grad():
        features = model.backbone(torch.from_numpy(_inputs(network, images)))
        if network.role == "detector":
            outputs = _settle_head(model.bbox_head, model.neck(features))
        else:
            outputs = model.head(features)
    for hook in hooks:
        hook.remove()
    if not all(torch.isfinite(output).all() for output in outputs):
        raise PoseGaugeError(f"{network.config}: random weights give numbers that are not finite")


def _take_statistics(layer, inputs) -> None:
    """Set a batch norm to the mean and variance of its input, float32 [N, channels, height, width]."""
    variance, mean = inputs[0].transpose(0, 1).flatten(1).var(1), inputs[0].mean((0, 2, 3))
    layer.running_mean.copy_(mean)
    layer.weight.fill_(NORM_SCALE)
    # A channel that is quiet on these images would be deafening on another image.
    layer.running_var.copy_(variance.clamp(min=float(variance.mean())))


def _settle_head(head, features) -> tuple:
    """Scale the layers that give the scores and the sides of boxes; return both outputs of before."""
    import torch

    for layer in (*head.rtm_cls, *head.rtm_reg):
        layer.bias.zero_()
    levels = head(features)
    scores = torch.cat([level.flatten() for level in levels[0]])
    strides = [stride[0] for stride in head.prior_generator.strides]
    sides = torch.cat([(level / stride).flatten() for level, stride in zip(levels[1], strides, strict=True)])
    sides, usual = (sides.log(), np.log(BOX_STRIDES)) if head.exp_on_reg else (sides, BOX_STRIDES)
    gain = LOGIT_MAX / scores.abs().max()
    first = torch.cat([level[0].flatten() for level in levels[0]])
    least = (gain * first).topk(min(CANDIDATES + 1, len(first))).values[-1]
    for layer in head.rtm_cls:
        layer.weight.mul_(gain)
        layer.bias.fill_(float(np.log(SCORE / (1 - SCORE)) - least))
    for layer in head.rtm_reg:
        layer.weight.mul_(BOX_MAX / sides.abs().max())
        layer.bias.fill_(float(usual))
    return scores, sides


def _inputs(network: Network, images: list[np.ndarray]) -> np.ndarray:
    """Return whole images as the network takes them, float32 [N, 3, height, width]."""
    inputs, pixels = [], network.pixels or USUAL[network.role]
    for image in images:
        if network.role == "detector":
            inputs.append(steps.detector_input(image, network.input_size, pixels)[0])
            continue
        height, width = image.shape[:2]
        box = steps.padded_box(np.array([[0, 0, width, height]], np.float32), network.input_size)
        inputs.append(steps.pose_input(image, *box, network.input_size, pixels))
    return np.concatenate(inputs)
