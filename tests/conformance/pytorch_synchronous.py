#!/usr/bin/python3
"""Compares method synchronous with PyTorch: the merged gradient of each round, and the global step that it makes.

Usage: pytorch_synchronous.py DUMP_PROGRAM. The program runs a job of 20 rounds and 3 lanes and writes every round's parameters and
decoded mean. From these, PyTorch computes two things on its own.

1. The gradient of the mean loss over all lanes' sequences, at each round's parameters, unclipped. The program's has been rounded
   to 8 bits a lane in blocks of 32, and the mean once more: each rounding is off by at most 1/128 of its block's largest value and
   by 1/128/sqrt(3) in the mean square, so the norm of the difference is allowed 2 % of the gradient's.
2. torch.optim.AdamW with clip_grad_norm_ and the schedule, from the first parameters, by the decoded means alone: 20 steps in which
   PyTorch never looks at the program's parameters again. Nothing is rounded here but float32: the parameters at the end are allowed
   1e-5 of the way that they went (the norm of end minus begin).

Exit 0: both agree; 1: they do not; 77: there is no PyTorch here.
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
from pytorch_training import rate_of, read_recipe

GRADIENT_LIMIT = 0.02
STEP_LIMIT = 1e-5
LOSS_LIMIT = 1e-4


def norm(tensors):
    return sum(t.double().square().sum() for t in tensors.values()).sqrt().item()


def difference(a, b):
    return {k: a[k] - b[k] for k in b}


class Dump:
    def __init__(self, folder):
        recipe = read_recipe(folder + "/recipe.txt")
        self.folder, self.train, model = folder, recipe["train"], recipe["model"]
        assert self.train["method"] == "synchronous" and self.train["inner_steps"] == "1"
        self.rounds, self.lanes, self.batch = (int(self.train[k]) for k in ("rounds", "lanes", "batch"))
        self.layers, self.heads, self.context = (int(model[k]) for k in ("layers", "heads", "context"))
        self.tokens = torch.from_numpy(numpy.fromfile(folder + "/tokens.bin", "<u1").astype("int64"))
        self.starts = numpy.fromfile(folder + "/starts.bin", "<u8").astype("int64").reshape(self.rounds, -1)
        self.losses = [float(line.split()[1]) for line in open(folder + "/losses.txt")]

    def tensors(self, what, r):
        return read_safetensors(f"{self.folder}/{what}-{r}.safetensors")

    def number(self, key):
        return float(self.train[key])

    def loss(self, p, r):
        windows = torch.stack([self.tokens[s : s + self.context + 1] for s in self.starts[r]])
        return loss_of(p, self.layers, self.heads, windows[:, :-1], windows[:, 1:])


def gradients_agree(dump):
    worst, worst_loss = 0.0, 0.0
    for r in range(dump.rounds):
        p = {k: v.requires_grad_() for k, v in dump.tensors("state", r).items()}
        loss = dump.loss(p, r)
        loss.backward()
        gradient = {k: v.grad for k, v in p.items()}
        worst = max(worst, norm(difference(dump.tensors("mean", r), gradient)) / norm(gradient))
        worst_loss = max(worst_loss, abs(loss.item() - dump.losses[r]))
    print(f"merged gradients of {dump.rounds} rounds: worst relative difference {worst:.4f} (allowed {GRADIENT_LIMIT}), "
          f"worst difference of a loss {worst_loss:.1e} (allowed {LOSS_LIMIT})")
    return 0 < worst <= GRADIENT_LIMIT and worst_loss <= LOSS_LIMIT


def steps_agree(dump):
    begin = dump.tensors("state", 0)
    p = {k: v.clone().requires_grad_() for k, v in begin.items()}
    groups = [{"params": [v for v in p.values() if v.dim() >= 2], "weight_decay": dump.number("inner.weight_decay")},
              {"params": [v for v in p.values() if v.dim() < 2], "weight_decay": 0.0}]
    betas = (dump.number("inner.beta1"), dump.number("inner.beta2"))
    optimizer = torch.optim.AdamW(groups, lr=1.0, betas=betas, eps=dump.number("inner.epsilon"))
    clipped = 0
    for r in range(dump.rounds):
        for k, g in dump.tensors("mean", r).items():
            p[k].grad = g
        clipped += torch.nn.utils.clip_grad_norm_(list(p.values()), dump.number("inner.clip")).item() > dump.number("inner.clip")
        for group in optimizer.param_groups:
            group["lr"] = rate_of(dump.train, r)
        optimizer.step()
    end = dump.tensors("state", dump.rounds)
    found = {k: v.detach() for k, v in p.items()}
    apart, way = norm(difference(found, end)), norm(difference(end, begin))
    print(f"{dump.rounds} steps by their means, {clipped} of them clipped: parameters went {way:.3f} and end {apart:.1e} apart "
          f"(allowed {STEP_LIMIT * way:.1e})")
    return apart <= STEP_LIMIT * way and 0 < clipped < dump.rounds


def main():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], folder], check=True)
        dump = Dump(folder)
        good = [gradients_agree(dump), steps_agree(dump)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
