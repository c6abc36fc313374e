"""FP16 in PyTorch: close to FP32 on our own networks, and finite where plain FP16 overflows."""

import copy

import demo_models
import pytest
import torch

from posegauge.backends.torch_fp16 import HalfNetwork
from posegauge.models import build


def images(network, count: int = 2) -> torch.Tensor:
    width, height = network.input_size
    return torch.randn((count, 3, height, width), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def pose():
    return build.build_network(demo_models.POSE)


def in_half(network, role: str) -> HalfNetwork:
    return HalfNetwork(copy.deepcopy(network), role).eval()


@torch.no_grad()
def test_boxes_stay_within_half_a_pixel():
    detector = build.build_network(demo_models.DETECTOR)
    half, batch = in_half(detector, "detector"), images(demo_models.DETECTOR)
    (boxes, scores), (own_boxes, own_scores) = detector(batch), half(batch)
    assert own_boxes.dtype == own_scores.dtype == torch.float32
    assert 0 < (own_boxes - boxes).abs().max() < 0.5
    assert (own_scores - scores).abs().max() < 5e-3
    assert half.network.priors.dtype == torch.float32
    assert torch.equal(half.network.priors, detector.priors)
    head = half.network.model.bbox_head
    assert head.rtm_reg[0].weight.dtype == torch.float32
    # Not rounded on the way: FP32 weights are those of the checkpoint.
    assert torch.equal(head.rtm_reg[0].weight, detector.model.bbox_head.rtm_reg[0].weight)
    assert head.reg_convs[0][0].pointwise_conv.conv.weight.dtype == torch.float16


@torch.no_grad()
def test_simcc_stays_close(pose):
    half, batch = in_half(pose, "pose"), images(demo_models.POSE)
    for own, theirs in zip(half(batch), pose(batch), strict=True):
        assert own.dtype == torch.float32 and own.shape == theirs.shape
        assert 0 < (own - theirs).abs().max() < 5e-3
    dtypes = {value.dtype for value in half.network.model.backbone.parameters()}
    assert dtypes == {torch.float16, torch.float32}  # FP32: batch norm


@torch.no_grad()
def test_large_activations_in_the_head_stay_finite(pose):
    large = copy.deepcopy(pose)
    large.model.head.gau.uv.weight *= 300
    batch = images(demo_models.POSE)
    plain = copy.deepcopy(large).half()(batch.half())
    assert not all(bool(output.isfinite().all()) for output in plain)
    for own, theirs in zip(in_half(large, "pose")(batch), large(batch), strict=True):
        assert own.isfinite().all()
        assert (own - theirs).abs().max() < 0.05 * theirs.abs().max()
