#!/usr/bin/python3
"""Does an mlp trained by Tequio classify as well as an equal model that PyTorch trains?

Real data sets that Debian's package python3-sklearn ships, in five-fold cross-validation: every example is tested once, by a model that
has not seen it, and each fold is another seed. Tequio trains as a swarm does, by `tequio job replay` of a job with a CSV file: lanes,
8-bit contributions, outer steps. PyTorch trains the same layers plainly, by AdamW with the same settings, on as many examples in as
many steps as all lanes together.

The margin: both models answer the same examples, so only those matter that one has right and the other wrong. If the models were equally
good, the difference of the two counts would scatter around 0 with the deviation sqrt(right_by_one_only) (McNemar 1947); ours may fall
short by two deviations at most.

Usage: mlp_accuracy.py TEQUIO [FOLDER]. FOLDER holds digits.csv.gz and breast_cancer.csv; without it the package's own is looked
for. To get it without installing:  apt-get download python3-sklearn && dpkg-deb -x python3-sklearn_*.deb DIR  and give
DIR/usr/lib/python3/dist-packages/sklearn/datasets/data, or set TEQUIO_SKLEARN_DATA to it.
Exit 0: as good; 1: not; 77: no PyTorch, or no data.
"""
import csv
import gzip
import math
import os
import pathlib
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
from pytorch_mlp_gradient import Classifier

FOLDS = 5
PACKAGE = "/usr/lib/python3/dist-packages/sklearn/datasets/data"
# How both train: a lane takes rounds * inner steps, PyTorch lanes times as many. A job must be long enough for its outer steps to come
# to rest: with 5 inner steps a round the digits' accuracy is 0.971 over five divisions into folds beside PyTorch's 0.980, with 20 it is
# 0.979 beside 0.981.
LANES, ROUNDS, INNER_STEPS, BATCH = 4, 60, 20, 64
LR, BETAS, EPSILON, DECAY, CLIP = 0.003, (0.9, 0.95), 1e-8, 0.1, 1.0
LAYERS, WIDTH = 2, 64
WARMUP, FINAL = 80, 0.1  # of a lane's ROUNDS * INNER_STEPS


def read_digits(folder):
    """8 x 8 images of handwritten digits, 0 to 16 (Alpaydin and Kaynak 1998)."""
    with gzip.open(folder / "digits.csv.gz", "rt") as file:
        table = numpy.array([[float(cell) for cell in row] for row in csv.reader(file)])
    return table[:, :-1].astype("<f4"), table[:, -1].astype(int)


def read_breast_cancer(folder):
    """30 measures of cell nuclei, malignant or benign (Wolberg, Street and Mangasarian 1995)."""
    with open(folder / "breast_cancer.csv") as file:
        rows = list(csv.reader(file))[1:]
    table = numpy.array([[float(cell) for cell in row] for row in rows])
    return table[:, :-1].astype("<f4"), table[:, -1].astype(int)


JOB = """[job]
name = "accuracy"
[model]
family = "mlp"
layers = {layers}
width = {width}
[data]
files = ["train.csv"]
header = false
validation = 0
[train]
lanes = {lanes}
rounds = {rounds}
inner_steps = {inner_steps}
batch = {batch}
inner = {{ optimizer = "adamw", lr = {lr}, betas = [0.9, 0.95], weight_decay = 0.1, clip = 1.0, ramp_steps = 4 }}
outer = {{ optimizer = "nesterov", lr = 0.7, momentum = 0.9 }}
schedule = {{ warmup = {warmup}, decay = "cosine", final = 0.1 }}
seed = {seed}
"""


def train_ours(program, values, labels, classes, seed):
    """The model that `tequio job replay` leaves, as a PyTorch module, and how its inputs are scaled."""
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/train.csv", "w") as file:
            for row, label in zip(values, labels):
                file.write(",".join(repr(float(value)) for value in row) + f",{label}\n")
        with open(folder + "/job.toml", "w") as file:
            file.write(JOB.format(layers=LAYERS, width=WIDTH, lanes=LANES, rounds=ROUNDS, inner_steps=INNER_STEPS, batch=BATCH, lr=LR,
                                  warmup=WARMUP, seed=seed))
        subprocess.run([program, "--data-dir", folder + "/data", "job", "replay", folder + "/job.toml", "--threads", "1", "--quiet",
                        "--out", folder + "/model"], check=True, stdout=subprocess.DEVNULL)
        weights = read_safetensors(folder + "/model/model.safetensors")
        scale = read_safetensors(folder + "/model/inputs.safetensors")
    model = Classifier(values.shape[1], WIDTH, LAYERS, classes)
    model.load_state_dict(weights)  # strict: every name and shape must be there
    return model, scale["shift"], scale["factor"]


def train_theirs(values, labels, classes, seed):
    torch.manual_seed(seed)
    model = Classifier(values.shape[1], WIDTH, LAYERS, classes)
    for layer in model.hidden:
        torch.nn.init.kaiming_normal_(layer.weight)
    torch.nn.init.normal_(model.output.weight, 0, WIDTH**-0.5)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.zeros_(parameter)
    steps, warmup = LANES * ROUNDS * INNER_STEPS, LANES * WARMUP
    groups = [{"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": DECAY},
              {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=EPSILON)
    x, y = torch.from_numpy(values), torch.from_numpy(labels)
    deviation = x.std(dim=0, unbiased=False)
    shift, factor = x.mean(dim=0), 1 / torch.where(deviation > 0, deviation, torch.ones(()))
    x = (x - shift) * factor
    for step in range(steps):
        share = (step + 1) / warmup if step < warmup else \
            FINAL + (1 - FINAL) * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
        for group in optimizer.param_groups:
            group["lr"] = LR * share
        chosen = torch.randint(len(y), (BATCH,))
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(model(x[chosen]), y[chosen]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
    return model, shift, factor


def compare(name, program, values, labels):
    """Prints both accuracies; True when ours is as good."""
    classes = int(labels.max()) + 1
    order = numpy.random.RandomState(0).permutation(len(labels))
    right = {"ours": numpy.zeros(len(labels), bool), "theirs": numpy.zeros(len(labels), bool)}
    for fold in range(FOLDS):
        tested = order[fold::FOLDS]
        trained = numpy.setdiff1d(order, tested)
        known = values[trained], labels[trained], classes, fold + 1
        for who, (model, shift, factor) in (("ours", train_ours(program, *known)), ("theirs", train_theirs(*known))):
            with torch.no_grad():
                x = (torch.from_numpy(values[tested]) - shift) * factor
                right[who][tested] = (model(x).argmax(1).numpy() == labels[tested])
        print(f"{name} fold {fold + 1}: {len(trained)} trained on, {len(tested)} tested: Tequio "
              f"{right['ours'][tested].mean():.4f}, PyTorch {right['theirs'][tested].mean():.4f}", flush=True)
    ours, theirs = right["ours"].mean(), right["theirs"].mean()
    apart = int((right["ours"] != right["theirs"]).sum())
    margin = 2 * math.sqrt(apart) / len(labels)
    print(f"{name}: {len(labels)} examples, each tested once: Tequio {ours:.4f}, PyTorch {theirs:.4f}, difference {ours - theirs:+.4f}; "
          f"{apart} answered differently, so the margin is {margin:.4f}", flush=True)
    return ours >= theirs - margin


def main():
    folder = pathlib.Path((sys.argv[2:] or [os.environ.get("TEQUIO_SKLEARN_DATA", PACKAGE)])[0])
    if not (folder / "digits.csv.gz").exists() or not (folder / "breast_cancer.csv").exists():
        print("skipped: no data sets in", folder)
        return 77
    torch.set_num_threads(1)  # the models are too small for more
    good = [compare("digits", sys.argv[1], *read_digits(folder)),
            compare("breast_cancer", sys.argv[1], *read_breast_cancer(folder))]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
