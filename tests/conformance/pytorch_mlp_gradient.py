#!/usr/bin/python3
"""Compares one training step's gradients of an mlp with PyTorch's, tensor by tensor.

Usage: pytorch_mlp_gradient.py DUMP_PROGRAM. Exit 0: norm(g - g') <= 1e-4 * norm(g') for every tensor and the losses agree to 1e-5;
1: they do not; 77: there is no PyTorch here.
"""
import subprocess
import sys
import tempfile

try:
    import numpy
    import torch
except ImportError:
    print("skipped: no torch for", sys.executable)
    sys.exit(77)

sys.dont_write_bytecode = True
from pytorch_gpt2 import read_safetensors

LIMIT = 1e-4


class Classifier(torch.nn.Module):
    """Linear layers with the names and shapes that a Tequio mlp has."""

    def __init__(self, inputs, width, layers, classes):
        super().__init__()
        sizes = [inputs] + [width] * layers
        self.hidden = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.output = torch.nn.Linear(width, classes)

    def forward(self, x):
        for layer in self.hidden:
            x = torch.relu(layer(x))
        return self.output(x)


def main():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], folder], check=True)
        parameters = read_safetensors(folder + "/parameters.safetensors")
        gradients = read_safetensors(folder + "/gradients.safetensors")
        targets = torch.from_numpy(numpy.fromfile(folder + "/targets.bin", "<u4").astype("int64"))
        inputs = torch.from_numpy(numpy.fromfile(folder + "/inputs.bin", "<f4")).view(len(targets), -1)
        ours = float(open(folder + "/loss.txt").read())
    width, classes = parameters["output.weight"].shape[1], parameters["output.weight"].shape[0]
    model = Classifier(inputs.shape[1], width, len(parameters) // 2 - 1, classes)
    model.load_state_dict(parameters)  # strict: every name and shape must be there
    loss = torch.nn.functional.cross_entropy(model(inputs), targets)
    loss.backward()
    worst, failed = 0.0, False
    for name, value in model.named_parameters():
        error = ((gradients[name] - value.grad).double().norm() / value.grad.double().norm()).item()
        worst = max(worst, error)
        if not error <= LIMIT:
            failed = True
            print(f"{name}: relative error {error:.3g} is above {LIMIT}")
    print(f"loss {ours} (PyTorch {loss.item():.7f}); {len(parameters)} tensors, worst relative error {worst:.3g}")
    if not abs(loss.item() - ours) <= 1e-5:
        failed = True
        print(f"the losses differ by {abs(loss.item() - ours):.3g}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
