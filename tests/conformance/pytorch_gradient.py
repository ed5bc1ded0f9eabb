#!/usr/bin/python3
"""Compares one training step's gradients with PyTorch's, tensor by tensor, for each model that the program knows.

Usage: pytorch_gradient.py DUMP_PROGRAM [MODEL...]. Exit 0: norm(g - g') <= 1e-4 * norm(g') for every tensor and the losses agree
to 1e-5; 1: they do not; 77: there is no PyTorch here.
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
import pytorch_gpt2
import pytorch_llama

LIMIT = 1e-4
MODELS = ["gpt2", "llama", "llama-grouped", "llama-untied"]


def loss_of(parameters, facts, tokens, targets):
    if facts["family"] == "gpt2":
        return pytorch_gpt2.loss_of(parameters, int(facts["layers"]), int(facts["heads"]), tokens, targets)
    model = {k: int(facts[k]) for k in ("layers", "heads", "kv_heads")}
    model.update({k: float(facts[k]) for k in ("rope_theta", "norm_epsilon")})
    return pytorch_llama.loss_of(parameters, model, tokens, targets)


def agrees(program, name):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, name, folder], check=True)
        facts = dict(line.split() for line in open(folder + "/facts.txt"))
        words = lambda file: torch.from_numpy(numpy.fromfile(f"{folder}/{file}", "<u4").astype("int64"))
        tokens, targets = (words(file).view(-1, int(facts["context"])) for file in ("tokens.bin", "targets.bin"))
        parameters = pytorch_gpt2.read_safetensors(folder + "/parameters.safetensors")
        gradients = pytorch_gpt2.read_safetensors(folder + "/gradients.safetensors")
    for value in parameters.values():
        value.requires_grad_()
    loss = loss_of(parameters, facts, tokens, targets)
    loss.backward()
    worst, good = 0.0, True
    for tensor, value in sorted(parameters.items()):
        error = ((gradients[tensor] - value.grad).double().norm() / value.grad.double().norm()).item()
        worst = max(worst, error)
        if not error <= LIMIT:
            good = False
            print(f"{name} {tensor}: relative error {error:.3g} is above {LIMIT}")
    difference = abs(loss.item() - float(facts["loss"]))
    print(f"{name}: loss {facts['loss']} (PyTorch {loss.item():.7f}); {len(parameters)} tensors, worst relative error {worst:.3g}")
    if not difference <= 1e-5:
        good = False
        print(f"{name}: the losses differ by {difference:.3g}")
    return good


results = [agrees(sys.argv[1], name) for name in sys.argv[2:] or MODELS]
sys.exit(0 if all(results) else 1)
