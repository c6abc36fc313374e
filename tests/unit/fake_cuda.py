"""PyTorch with a CUDA device that is the CPU: streams and events that only note what was asked of them."""

import contextlib

import torch


class FakeEvent:
    """An event whose time is the number of things noted before it, in milliseconds."""

    def __init__(self, log, enable_timing):
        assert enable_timing
        self.log = log
        self.at = None

    def record(self):
        self.at = len(self.log)
        self.log.append("event")

    def synchronize(self):
        self.log.append("event waited for")

    def elapsed_time(self, end):
        return float(end.at - self.at)


class FakeStream:
    """A stream that notes who waits for whom."""

    def __init__(self, log, name):
        self.log, self.name = log, name

    def wait_stream(self, other):
        self.log.append(f"{self.name} waits for {other.name}")

    def synchronize(self):
        self.log.append(f"{self.name} done")


class FakeCuda:
    """What of torch.cuda the sessions use; `log` holds what happened, in order."""

    def __init__(self):
        self.log = []
        self.current = FakeStream(self.log, "caller")
        self.own = FakeStream(self.log, "session")

    def Stream(self):
        return self.own

    def Event(self, enable_timing):
        return FakeEvent(self.log, enable_timing)

    def current_stream(self):
        return self.current

    @contextlib.contextmanager
    def stream(self, stream):
        before, self.current = self.current, stream
        yield
        self.current = before

    def synchronize(self):
        self.log.append("device done")


class FakeTorch:
    """torch itself, but tensors for the device lie on the CPU and page-locked memory is any memory."""

    def __init__(self):
        self.cuda = FakeCuda()

    def __getattr__(self, name):
        return getattr(torch, name)

    def zeros(self, shape, pin_memory=False, device=None):
        return torch.zeros(shape)

    def empty(self, shape, dtype, pin_memory=False):
        return torch.empty(shape, dtype=dtype)
