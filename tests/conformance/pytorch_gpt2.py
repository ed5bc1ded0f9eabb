"""GPT-2 in plain PyTorch over a dict of tensors with Hugging Face's names, and a safetensors reader.

Shared by pytorch_gradient.py, pytorch_training.py and pytorch_folders.py.
"""
import json
import math

import numpy
import torch
import torch.nn.functional as F


def read_safetensors(path):
    """Name -> float32 tensor (a copy)."""
    with open(path, "rb") as file:
        data = file.read()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    out = {}
    for name, entry in header.items():
        assert entry["dtype"] == "F32", name
        begin, end = entry["data_offsets"]
        values = numpy.frombuffer(data[8 + size + begin : 8 + size + end], dtype="<f4")
        out[name] = torch.from_numpy(values.copy()).view(entry["shape"])
    return out


def logits_of(p, layers, heads, tokens):
    """(sequences, time, vocabulary). p: name -> tensor; tokens: (sequences, time) int64."""
    n, time = tokens.shape
    wte = p["transformer.wte.weight"]
    width = wte.shape[1]
    mask = torch.ones(time, time, dtype=torch.bool).triu(1)

    def norm(x, name):
        return F.layer_norm(x, (width,), p[name + ".weight"], p[name + ".bias"], 1e-5)

    def linear(x, name):
        return x @ p[name + ".weight"] + p[name + ".bias"]

    x = wte[tokens] + p["transformer.wpe.weight"][:time]
    for i in range(layers):
        h = f"transformer.h.{i}."
        q, k, v = (
            z.view(n, time, heads, width // heads).transpose(1, 2)
            for z in linear(norm(x, h + "ln_1"), h + "attn.c_attn").split(width, 2)
        )
        scores = (q @ k.transpose(-2, -1)) / math.sqrt(width // heads)
        attended = F.softmax(scores.masked_fill(mask, float("-inf")), -1) @ v
        x = x + linear(attended.transpose(1, 2).reshape(n, time, width), h + "attn.c_proj")
        y = linear(norm(x, h + "ln_2"), h + "mlp.c_fc")
        y = 0.5 * y * (1 + torch.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
        x = x + linear(y, h + "mlp.c_proj")
    return norm(x, "transformer.ln_f") @ wte.t()


def loss_of(p, layers, heads, tokens, targets):
    """Mean cross-entropy, nats. tokens, targets: (sequences, time) int64."""
    logits = logits_of(p, layers, heads, tokens)
    return F.cross_entropy(logits.flatten(0, 1), targets.reshape(-1))
