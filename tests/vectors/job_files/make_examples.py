#!/usr/bin/env python3
"""Writes example_recipe.txt and example_task_head.txt, the golden forms of a recipe and of a task.

The texts are spelled out here by hand from training/recipe.hpp and training/task.hpp, so that a
change of the program's own writer shows. Run it in this folder.
"""
import base64
import hashlib


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


recipe = f"""tequio/recipe/v1
[model]
family gpt2
layers 6
heads 6
width 384
context 256
vocabulary 256
init random
[data]
tokens {sha("some data")}:100000
token_bytes 1
token_count 100000
validation_tokens 1000
[train]
method diloco
lanes 8
rounds 40
inner_steps 50
batch 8
micro_batch 8
window -40
inner.optimizer adamw
inner.lr 4e-04
inner.beta1 0.9
inner.beta2 0.95
inner.epsilon 1e-08
inner.weight_decay 0.1
inner.clip 1
inner.ramp_steps 10
outer.optimizer nesterov
outer.lr 0.7
outer.momentum 0.9
schedule.warmup 100
schedule.decay cosine
schedule.final_share 0.1
codec mxint8
codec_down mxint8
numerics exact/1
seed 1
[slices]
cuts none
activations f32
"""

# The public key of the seed 07 00 ... 00; a C2SP verifier key line is made of it.
name = "tequio/submitter"
typed = b"\x01" + bytes.fromhex("a2fa2f4a355ba2e907a53009e9e37caddf7ac7e66a08ba07631f553072b3f24c")
key_id = hashlib.sha256(name.encode() + b"\n" + typed).digest()[:4].hex()
vkey = f"{name}+{key_id}+{base64.b64encode(typed).decode()}"

head = f"""tequio/task/v1
name webster
purpose A small language model: schöne Wörter, 学而时习之
data_license GPL-2.0-or-later
model_license MIT OR Apache-2.0
base_license none
readers swarm
swarm {sha("a swarm")}
submitter {vkey}
created 2026-11-23T06:28:00Z
deadline 2026-11-30T06:28:00Z
nonce 00112233445566778899aabbccddeeff
exactness exact/1:{sha("golden vectors")}
companion none
trust.check 0.05
trust.settle 3
trust.crew_min 1
trust.crew_max 64
trust.accept swarm
keep.copies 3
keep.state_every 10
keep.days 30
recipe {sha(recipe)}
"""

for path, text in [("example_recipe.txt", recipe), ("example_task_head.txt", head)]:
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        out.write(text)
