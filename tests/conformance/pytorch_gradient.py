#!/usr/bin/python3
"""Compares one training step's gradients with PyTorch's, tensor by tensor.

Usage: pytorch_gradient.py DUMP_PROGRAM. Exit 0: norm(g - g') <= 1e-4 * norm(g') for every tensor and the losses agree to 1e-5;
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
from pytorch_gpt2 import loss_of, read_safetensors

LIMIT = 1e-4

with tempfile.TemporaryDirectory() as folder:
    subprocess.run([sys.argv[1], folder], check=True)
    facts = dict(line.split() for line in open(folder + "/facts.txt"))
    layers, heads, context = (int(facts[k]) for k in ("layers", "heads", "context"))
    words = lambda name: torch.from_numpy(numpy.fromfile(f"{folder}/{name}", "<u4").astype("int64")).view(-1, context)
    tokens, targets = words("tokens.bin"), words("targets.bin")
    parameters = read_safetensors(folder + "/parameters.safetensors")
    gradients = read_safetensors(folder + "/gradients.safetensors")

torch.manual_seed(0)
for value in parameters.values():
    value.requires_grad_()
loss = loss_of(parameters, layers, heads, tokens, targets)
loss.backward()
worst, failed = 0.0, False
for name, value in sorted(parameters.items()):
    error = ((gradients[name] - value.grad).double().norm() / value.grad.double().norm()).item()
    worst = max(worst, error)
    if not error <= LIMIT:
        failed = True
        print(f"{name}: relative error {error:.3g} is above {LIMIT}")
difference = abs(loss.item() - float(facts["loss"]))
print(f"loss {facts['loss']} (PyTorch {loss.item():.7f}); {len(parameters)} tensors, worst relative error {worst:.3g}")
if difference > 1e-5:
    failed = True
    print(f"the losses differ by {difference:.3g}")
sys.exit(1 if failed else 0)
