#!/usr/bin/python3
"""Does an mlp trained by Tequio classify as well as an equal model that PyTorch trains?

Real data sets that Debian's package python3-sklearn ships, in five-fold cross-validation: every example is tested once, by a model that
has not seen it, and each fold is another seed. Tequio trains as a swarm does (lanes, 8-bit contributions, outer steps); PyTorch trains
the same layers plainly, by AdamW with the same settings, on as many examples in as many steps as all lanes together.

The margin: both models answer the same examples, so only those matter that one has right and the other wrong. If the models were equally
good, the difference of the two counts would scatter around 0 with the deviation sqrt(right_by_one_only) (McNemar 1947); ours may fall
short by two deviations at most.

Usage: mlp_accuracy.py TWIN_PROGRAM [FOLDER]. FOLDER holds digits.csv.gz and breast_cancer.csv; without it the package's own is looked
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
# How both train: a lane takes rounds * inner steps, PyTorch lanes times as many. Rounds are short: with the same number of steps in 15
# rounds the outer momentum has not come to rest, and the digits' accuracy is about 0.4 % lower.
LANES, ROUNDS, INNER_STEPS, BATCH = 4, 60, 5, 64
LR, BETAS, EPSILON, DECAY, CLIP = 0.003, (0.9, 0.95), 1e-8, 0.1, 1.0
LAYERS, WIDTH = 2, 64
WARMUP, FINAL = 20, 0.1  # of a lane's ROUNDS * INNER_STEPS


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


def scales_of(values):
    """Shift and factor of each column: mean and 1 / standard deviation of the training part."""
    deviation = values.std(axis=0)
    return values.mean(axis=0).astype("<f4"), (1 / numpy.where(deviation > 0, deviation, 1)).astype("<f4")


RECIPE = """tequio/recipe/v1
[model]
family mlp
inputs {inputs}
layers {layers}
width {width}
classes {classes}
init random
[data]
examples @examples@
value_bytes 4
example_count {count}
validation_examples 0
[train]
method diloco
lanes {lanes}
rounds {rounds}
inner_steps {inner_steps}
batch {batch}
micro_batch {batch}
window -40
inner.optimizer adamw
inner.lr {lr}
inner.beta1 0.9
inner.beta2 0.95
inner.epsilon 1e-08
inner.weight_decay 0.1
inner.clip 1
inner.ramp_steps 4
outer.optimizer nesterov
outer.lr 0.7
outer.momentum 0.9
schedule.warmup {warmup}
schedule.decay cosine
schedule.final_share 0.1
codec mxint8
codec_down mxint8
numerics exact/1
seed {seed}
[slices]
cuts none
activations f32
"""


def train_ours(program, values, labels, classes, seed):
    """The model that Tequio trains, as a PyTorch module, and the scales of its inputs."""
    shift, factor = scales_of(values)
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/examples.bin", "wb") as file:
            file.write(shift.tobytes() + factor.tobytes())
            for row, label in zip(values, labels):
                file.write(int(label).to_bytes(4, "little") + row.tobytes())
        with open(folder + "/recipe.txt", "w") as file:
            file.write(RECIPE.format(inputs=values.shape[1], layers=LAYERS, width=WIDTH, classes=classes, count=len(labels),
                                     lanes=LANES, rounds=ROUNDS, inner_steps=INNER_STEPS, batch=BATCH, lr=LR, warmup=WARMUP,
                                     seed=seed))
        subprocess.run([program, "train", folder], check=True)
        weights = read_safetensors(folder + "/model.safetensors")
    model = Classifier(values.shape[1], WIDTH, LAYERS, classes)
    model.load_state_dict(weights)
    return model


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
    x, y = scaled(values, *scales_of(values)), torch.from_numpy(labels)
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
    return model


def scaled(values, shift, factor):
    return torch.from_numpy((values - shift) * factor)


def compare(name, program, values, labels):
    """Prints both accuracies; True when ours is as good."""
    classes = int(labels.max()) + 1
    order = numpy.random.RandomState(0).permutation(len(labels))
    right = {"ours": numpy.zeros(len(labels), bool), "theirs": numpy.zeros(len(labels), bool)}
    for fold in range(FOLDS):
        tested = order[fold::FOLDS]
        trained = numpy.setdiff1d(order, tested)
        x = scaled(values[tested], *scales_of(values[trained]))
        for who, model in (("ours", train_ours(program, values[trained], labels[trained], classes, fold + 1)),
                           ("theirs", train_theirs(values[trained], labels[trained], classes, fold + 1))):
            with torch.no_grad():
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
