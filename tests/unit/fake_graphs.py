"""CUDA graphs without a GPU, and networks whose outputs tell every byte that they were given."""

import torch

SPOILT = {torch.float32: float("nan"), torch.uint8: 255, torch.int64: -(2**60)}


def spoil(tensors) -> None:
    """Fill tensors with what no step computes."""
    for tensor in tensors:
        tensor.fill_(SPOILT[tensor.dtype])


class FakeRecorder:
    """captured.Recorder on the CPU: a replay runs the function on the same inputs into the same outputs.

    As the graphs of one pool may do, a replay spoils the outputs of all others. Before the first replay
    nothing is in the outputs.
    """

    made = None  # all of them; a test gives its own list
    capturing = False

    def __init__(self):
        self.outputs = []
        FakeRecorder.made.append(self)

    def __call__(self, function):
        FakeRecorder.capturing = True
        try:
            outputs = tuple(output.clone() for output in function())
        finally:
            FakeRecorder.capturing = False
        spoil(outputs)
        self.outputs.append(outputs)

        def replay():
            for others in self.outputs:
                spoil(others)
            for output, value in zip(outputs, function(), strict=True):
                output.copy_(value)

        return replay, outputs


class Boxes:
    """A detector whose boxes and scores hang on the pixels; it writes where it wrote before."""

    def __init__(self, count: int = 60):
        self.count = count
        self.memory = {}

    def run_device(self, batch):
        numbers = batch.flatten(1)
        numbers = numbers[:, : numbers.shape[1] // self.count * self.count]
        sums = numbers.view(len(batch), self.count, -1).double().sum(2)
        shares = torch.stack(
            [(sums * factor).remainder(1) for factor in (0.37, 0.71, 1.3, 1.9, 2.3)], 2
        ).float()
        corners = shares[..., :2] * 60
        boxes = torch.cat([corners, corners + 8 + shares[..., 2:4] * 30], 2)
        return self._write(len(batch), boxes=boxes, scores=shares[..., 4:])

    def _write(self, count, **outputs):
        for name, value in outputs.items():
            self.memory.setdefault((name, count), torch.empty_like(value)).copy_(value)
        return {name: self.memory[name, count] for name in outputs}


class Simcc(Boxes):
    """A pose network for crops of 48 x 64: its outputs are some of the pixels, and the mean of all."""

    def run_device(self, crops):
        numbers = crops.flatten(1)
        mean = numbers.mean(1)[:, None, None]
        x, y = numbers[:, : 17 * 96], numbers[:, -17 * 128 :]
        return self._write(len(crops), simcc_x=x.view(-1, 17, 96) + mean, simcc_y=y.view(-1, 17, 128) - mean)
