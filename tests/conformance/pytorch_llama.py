"""Llama in plain PyTorch over a dict of tensors with Hugging Face's names (modeling_llama.py).

Used by pytorch_gradient.py and pytorch_folders.py.
"""
import math

import torch
import torch.nn.functional as F


def rotate(x, theta):
    """x: (n, heads, time, size): element i of the first half of a head turns with element i of the second."""
    time, size = x.shape[-2:]
    inverse = 1.0 / theta ** (torch.arange(0, size, 2, dtype=torch.float64) / size)
    angle = torch.arange(time, dtype=torch.float64)[:, None] * inverse
    c, s = angle.cos().float(), angle.sin().float()
    a, b = x[..., : size // 2], x[..., size // 2 :]
    return torch.cat((a * c - b * s, b * c + a * s), -1)


def logits_of(p, model, tokens):
    """(sequences, time, vocabulary). p: name -> tensor; model: layers, heads, kv_heads, rope_theta, norm_epsilon; tokens:
    (sequences, time) int64. The head is lm_head.weight where there is one, else the embedding."""
    n, time = tokens.shape
    embedding = p["model.embed_tokens.weight"]
    width = embedding.shape[1]
    size = width // model["heads"]
    mask = torch.ones(time, time, dtype=torch.bool).triu(1)

    def norm(x, name):
        return p[name + ".weight"] * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + model["norm_epsilon"]))

    def linear(x, name):
        return F.linear(x, p[name + ".weight"])

    x = embedding[tokens]
    for i in range(model["layers"]):
        h = f"model.layers.{i}."
        y = norm(x, h + "input_layernorm")
        q, k, v = (linear(y, h + f"self_attn.{c}_proj").view(n, time, -1, size).transpose(1, 2) for c in "qkv")
        q, k = rotate(q, model["rope_theta"]), rotate(k, model["rope_theta"])
        k, v = (z.repeat_interleave(model["heads"] // model["kv_heads"], 1) for z in (k, v))
        scores = (q @ k.transpose(-2, -1)) / math.sqrt(size)
        attended = F.softmax(scores.masked_fill(mask, float("-inf")), -1) @ v
        x = x + linear(attended.transpose(1, 2).reshape(n, time, width), h + "self_attn.o_proj")
        y = norm(x, h + "post_attention_layernorm")
        x = x + linear(F.silu(linear(y, h + "mlp.gate_proj")) * linear(y, h + "mlp.up_proj"), h + "mlp.down_proj")
    return F.linear(norm(x, "model.norm"), p.get("lm_head.weight", embedding))


def loss_of(p, model, tokens, targets):
    """Mean cross-entropy, nats. tokens, targets: (sequences, time) int64."""
    return F.cross_entropy(logits_of(p, model, tokens).flatten(0, 1), targets.reshape(-1))
