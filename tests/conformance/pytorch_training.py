#!/usr/bin/python3
"""The same training in PyTorch, without quantisation: a yardstick for the losses of `tequio job replay`.

Reads a recipe's canonical text and its token blob and trains by the same rules: lanes from one state, H AdamW steps each with fresh
optimizer state, ramp and schedule, mean of the outer gradients, Nesterov.

Usage: pytorch_training.py RECIPE TOKENS [--seed S]... [--threads N] [--rounds N] [--every N] [--draws FOLDER]
Prints a JSON line a seed: validation losses by round, and the last one. Weights and data order come from PyTorch's generator, so a
seed gives other draws than Tequio's: then compare means over many seeds. --draws takes those that Tequio used (initial-S.safetensors
and starts-S.bin, as pytorch_training_twin writes them).

       pytorch_training.py --compare TRAIN_PROGRAM [--own-draws] TEXT...
Lets pytorch_training_twin train on the texts with seeds 1, 2, 3, does the same here from the same draws, and compares each seed and
the means. Exit 0, 1, or 77: no PyTorch. With --own-draws the means alone are compared; seeds of a small job scatter by 0.04 nats and
more, so that a difference of means near the limit says nothing.
"""
import argparse
import json
import math
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

VALIDATION_WINDOWS_MAX = 64
MEAN_LIMIT = 0.03  # nats, between means over three seeds
# nats, between two runs from the same draws: what 8-bit codes up and down and another order of additions may change
SEED_LIMIT = 0.005


class OwnDraws:
    """Weights and data order from PyTorch's generator."""

    def __init__(self, job, seed):
        self.job, self.generator = job, torch.Generator().manual_seed(seed)

    def initial(self):
        return self.job.initial(self.generator)

    def starts(self, round_index, lane_index, step):
        return torch.randint(len(self.job.training) - self.job.context, (self.job.batch,), generator=self.generator)


class GivenDraws:
    """Weights and data order as a Tequio run drew them."""

    def __init__(self, job, seed, folder):
        self.path = f"{folder}/initial-{seed}.safetensors"
        shape = (job.rounds, job.lanes, job.steps, job.batch)
        self.places = numpy.fromfile(f"{folder}/starts-{seed}.bin", "<u8").astype("int64").reshape(shape)

    def initial(self):
        return read_safetensors(self.path)

    def starts(self, round_index, lane_index, step):
        return self.places[round_index, lane_index, step]


def read_recipe(path):
    """{section: {key: value text}} of a canonical recipe."""
    sections, current = {}, None
    for line in open(path).read().splitlines()[1:]:
        if line.startswith("["):
            current = sections.setdefault(line.strip("[]"), {})
        elif line:
            key, value = line.split(" ", 1)
            current[key] = value
    return sections


def rate_of(train, t):
    """The learning rate at step t, without ramp; train: that section of a recipe."""
    total = int(train["rounds"]) * int(train["inner_steps"])
    warmup, final_share = int(train["schedule.warmup"]), float(train["schedule.final_share"])
    if t < warmup:
        share = (t + 1) / warmup
    else:
        x = (t - warmup) / (total - warmup)
        rest = 1 - final_share
        share = {"cosine": final_share + rest * 0.5 * (1 + math.cos(math.pi * x)), "linear": 1 - rest * x,
                 "none": 1.0}[train["schedule.decay"]]
    return float(train["inner.lr"]) * share


class Job:
    def __init__(self, recipe, tokens_path):
        model, data, train = recipe["model"], recipe["data"], recipe["train"]
        assert model["family"] == "gpt2" and train["method"] == "diloco"
        self.layers, self.heads, self.width, self.context, self.vocabulary = (
            int(model[k]) for k in ("layers", "heads", "width", "context", "vocabulary"))
        self.lanes, self.rounds, self.steps, self.batch = (
            int(train[k]) for k in ("lanes", "rounds", "inner_steps", "batch"))
        self.train, self.ramp = train, int(train["inner.ramp_steps"])
        for key in ("lr", "beta1", "beta2", "epsilon", "weight_decay", "clip"):
            setattr(self, key, float(train["inner." + key]))
        self.outer_lr, self.outer_momentum = float(train["outer.lr"]), float(train["outer.momentum"])
        kind = {1: "<u1", 2: "<u2", 4: "<u4"}[int(data["token_bytes"])]
        tokens = torch.from_numpy(numpy.fromfile(tokens_path, kind).astype("int64"))
        assert len(tokens) == int(data["token_count"]), "the token blob is not this recipe's"
        held = int(data["validation_tokens"])
        self.training, self.validation = tokens[: len(tokens) - held], tokens[len(tokens) - held :]

    def rate(self, round_index, step):
        rate = rate_of(self.train, round_index * self.steps + step)
        return rate * (min(1.0, (step + 1) / self.ramp) if self.ramp else 1.0)

    def initial(self, generator):
        d, p = self.width, {}

        def normal(name, *shape, deviation=0.02):
            p[name] = torch.randn(shape, generator=generator) * deviation

        def norm(name):
            p[name + ".weight"], p[name + ".bias"] = torch.ones(d), torch.zeros(d)

        normal("transformer.wte.weight", self.vocabulary, d)
        normal("transformer.wpe.weight", self.context, d)
        norm("transformer.ln_f")
        back = 0.02 / math.sqrt(2 * self.layers)
        for i in range(self.layers):
            h = f"transformer.h.{i}."
            norm(h + "ln_1")
            norm(h + "ln_2")
            for name, rows, columns, deviation in (("attn.c_attn", d, 3 * d, 0.02), ("attn.c_proj", d, d, back),
                                                   ("mlp.c_fc", d, 4 * d, 0.02), ("mlp.c_proj", 4 * d, d, back)):
                normal(h + name + ".weight", rows, columns, deviation=deviation)
                p[h + name + ".bias"] = torch.zeros(columns)
        return p

    def lane(self, start, round_index, lane_index, draws):
        """Outer gradient and mean loss of one lane."""
        p = {k: v.clone().requires_grad_() for k, v in start.items()}
        groups = [{"params": [v for v in p.values() if v.dim() >= 2], "weight_decay": self.weight_decay},
                  {"params": [v for v in p.values() if v.dim() < 2], "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=self.lr, betas=(self.beta1, self.beta2), eps=self.epsilon)
        losses = 0.0
        for step in range(self.steps):
            starts = draws.starts(round_index, lane_index, step)
            windows = torch.stack([self.training[s : s + self.context + 1] for s in starts])
            for group in optimizer.param_groups:
                group["lr"] = self.rate(round_index, step)
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(p, self.layers, self.heads, windows[:, :-1], windows[:, 1:])
            loss.backward()
            if self.clip > 0:
                torch.nn.utils.clip_grad_norm_(list(p.values()), self.clip)
            optimizer.step()
            losses += loss.item()
        return {k: start[k] - v.detach() for k, v in p.items()}, losses / self.steps

    def validation_loss(self, p):
        size = self.context + 1
        count = min(len(self.validation) // size, VALIDATION_WINDOWS_MAX)
        windows = self.validation[: count * size].view(count, size)
        with torch.no_grad():
            total = sum(loss_of(p, self.layers, self.heads, w[:, :-1], w[:, 1:]).item() * len(w) for w in windows.split(8))
        return total / count

    def run(self, seed, rounds, every, draws):
        p = draws.initial()
        velocity = {k: torch.zeros_like(v) for k, v in p.items()}
        curve = []
        for r in range(rounds):
            if r % every == 0:
                curve.append((r, round(self.validation_loss(p), 4)))
            lanes = [self.lane(p, r, i, draws) for i in range(self.lanes)]
            for k in p:
                mean = sum(gradients[k] for gradients, _ in lanes) / self.lanes
                velocity[k] = self.outer_momentum * velocity[k] + mean
                p[k] = p[k] - self.outer_lr * (mean + self.outer_momentum * velocity[k])
            print(f"seed {seed} round {r} loss {sum(l for _, l in lanes) / self.lanes:.4f}", file=sys.stderr, flush=True)
        return curve, self.validation_loss(p)


def train_all(job, options):
    """Validation losses at the end, one a seed."""
    last = []
    for seed in options.seed or [1, 2, 3]:
        draws = GivenDraws(job, seed, options.draws) if options.draws else OwnDraws(job, seed)
        curve, loss = job.run(seed, options.rounds or job.rounds, options.every, draws)
        last.append(loss)
        print(json.dumps({"seed": seed, "validation": curve, "validation_loss": round(loss, 4)}), flush=True)
    return last


def compare(program, texts, options):
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([program, folder, *texts], check=True, stdout=subprocess.PIPE, text=True)
        print(done.stdout, end="", flush=True)
        ours = [float(line.split()[-1]) for line in done.stdout.splitlines()]
        job = Job(read_recipe(folder + "/recipe.txt"), folder + "/tokens.bin")
        options.draws = None if options.own_draws else folder
        theirs = train_all(job, options)
    apart = sum(ours) / len(ours) - sum(theirs) / len(theirs)
    worst = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    print(f"mean validation loss: Tequio {sum(ours) / len(ours):.4f}, PyTorch {sum(theirs) / len(theirs):.4f}, "
          f"difference {apart:+.4f} (allowed {MEAN_LIMIT})")
    if options.own_draws:
        return 0 if abs(apart) <= MEAN_LIMIT else 1
    print(f"worst difference of a seed: {worst:.4f} (allowed {SEED_LIMIT})")
    return 0 if abs(apart) <= MEAN_LIMIT and worst <= SEED_LIMIT else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", help="canonical recipe and token blob; with --compare the texts")
    parser.add_argument("--compare", metavar="TRAIN_PROGRAM")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, help="stop after so many; the schedule stays the recipe's")
    parser.add_argument("--every", type=int, default=5, help="rounds between two validations")
    parser.add_argument("--draws", metavar="FOLDER", help="weights and data order of a Tequio run")
    parser.add_argument("--own-draws", action="store_true", help="with --compare: PyTorch draws for itself")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.compare:
        return compare(options.compare, options.files, options)
    if len(options.files) != 2:
        parser.error("a recipe and a token blob are needed")
    recipe, tokens = options.files
    losses = train_all(Job(read_recipe(recipe), tokens), options)
    print(json.dumps({"mean_validation_loss": round(sum(losses) / len(losses), 4)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
