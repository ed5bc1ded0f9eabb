#!/usr/bin/python3
"""Folders that the program writes, read by PyTorch, and the other way round: the logits agree to 1e-4. Folders written here are
fine-tuned as well: the program's validation loss before the first round is PyTorch's of the folder, and that after the last round
PyTorch's of the folder that came out, both to 1e-4.

Usage: pytorch_folders.py DUMP_PROGRAM TEQUIO. Exit 0: they agree; 1: they do not; 77: there is no PyTorch here.
"""
import os
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
from hf_folder import read_folder, write_folder

LIMIT = 1e-4
dump, tequio = sys.argv[1], os.path.realpath(sys.argv[2])
torch.manual_seed(3)
failed = False


def compare(what, found, expected):
    """Largest difference of two arrays."""
    global failed
    difference = (torch.as_tensor(found).double() - torch.as_tensor(expected).double()).abs().max().item()
    print(f"{what}: largest difference {difference:.2g}", flush=True)
    if not difference <= LIMIT:
        failed = True
        print(f"  above {LIMIT}")


def logits_of(config, p, tokens):
    """As transformers computes them from a config.json. Names may lack their prefix."""
    prefix = {"gpt2": "transformer.", "llama": "model."}[config["model_type"]]
    p = {name if name.startswith((prefix, "lm_head.")) else prefix + name: value for name, value in p.items()}
    if config["model_type"] == "gpt2":
        assert config["architectures"] == ["GPT2LMHeadModel"] and config["activation_function"] == "gelu_new"
        assert config["layer_norm_epsilon"] == 1e-5 and config.get("tie_word_embeddings", True)
        return pytorch_gpt2.logits_of(p, config["n_layer"], config["n_head"], tokens)
    assert config["architectures"] == ["LlamaForCausalLM"] and config["hidden_act"] == "silu"
    if config["tie_word_embeddings"]:
        p.pop("lm_head.weight", None)
    facts = {
        "layers": config["num_hidden_layers"],
        "heads": config["num_attention_heads"],
        "kv_heads": config["num_key_value_heads"],
        "rope_theta": config["rope_theta"],
        "norm_epsilon": config["rms_norm_eps"],
    }
    return pytorch_llama.logits_of(p, facts, tokens)


def check_logits(what, folder):
    config, p = read_folder(folder)
    vocabulary, context = config["vocab_size"], config.get("n_positions") or config["max_position_embeddings"]
    tokens = torch.randint(vocabulary, (1, context))
    tokens.numpy().astype("<u4").tofile(folder + "/tokens.bin")
    subprocess.run([dump, "logits", folder], check=True)
    ours = numpy.fromfile(folder + "/logits.bin", "<f4").reshape(context, vocabulary)
    with torch.no_grad():
        compare(what, ours, logits_of(config, p, tokens)[0])


def drawn(shape, around=0.0):
    return around + 0.1 * torch.randn(shape)


def some_gpt2(vocabulary=300, layers=2, heads=4, width=64, context=48):
    """A config.json and tensors as transformers' GPT2LMHeadModel has them; names without prefix, as on the hub."""
    config = {
        "activation_function": "gelu_new",
        "architectures": ["GPT2LMHeadModel"],
        "attn_pdrop": 0.1,
        "layer_norm_epsilon": 1e-5,
        "model_type": "gpt2",
        "n_ctx": context,
        "n_embd": width,
        "n_head": heads,
        "n_layer": layers,
        "n_positions": context,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
        "vocab_size": vocabulary,
    }
    p = {"wte.weight": drawn((vocabulary, width)), "wpe.weight": drawn((context, width))}
    for i in range(layers):
        h = f"h.{i}."
        for norm in ("ln_1", "ln_2"):
            p[h + norm + ".weight"], p[h + norm + ".bias"] = drawn(width, 1.0), drawn(width)
        for name, n, m in [("attn.c_attn", 1, 3), ("attn.c_proj", 1, 1), ("mlp.c_fc", 1, 4), ("mlp.c_proj", 4, 1)]:
            p[h + name + ".weight"], p[h + name + ".bias"] = drawn((n * width, m * width)), drawn(m * width)
    p["ln_f.weight"], p["ln_f.bias"] = drawn(width, 1.0), drawn(width)
    return config, p


def some_llama(tied, vocabulary=300, layers=2, heads=8, kv_heads=2, width=64, hidden=176, context=48):
    config = {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": width,
        "intermediate_size": hidden,
        "max_position_embeddings": context,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": 1e-6,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "tie_word_embeddings": tied,
        "torch_dtype": "float16",
        "vocab_size": vocabulary,
    }
    size = width // heads
    p = {"model.embed_tokens.weight": drawn((vocabulary, width)), "model.norm.weight": drawn(width, 1.0)}
    for i in range(layers):
        h = f"model.layers.{i}."
        p[h + "input_layernorm.weight"] = drawn(width, 1.0)
        p[h + "post_attention_layernorm.weight"] = drawn(width, 1.0)
        for name, rows in [("q", width), ("k", kv_heads * size), ("v", kv_heads * size)]:
            p[h + f"self_attn.{name}_proj.weight"] = drawn((rows, width))
        p[h + "self_attn.o_proj.weight"] = drawn((width, width))
        p[h + "mlp.gate_proj.weight"], p[h + "mlp.up_proj.weight"] = drawn((hidden, width)), drawn((hidden, width))
        p[h + "mlp.down_proj.weight"] = drawn((width, hidden))
    p["lm_head.weight"] = p["model.embed_tokens.weight"] if tied else drawn((vocabulary, width))
    return config, p


JOB = """[job]
name = "finer"
base_license = "CC0-1.0"
[model]
init_from = "{base}"
[data]
files = ["text"]
validation = 0.1
[train]
lanes = 2
rounds = 2
inner_steps = 10
batch = 4
inner = {{ optimizer = "adamw", lr = 1e-3 }}
"""


def validation_loss(folder, text):
    """Over windows of context + 1 bytes, side by side, at most 64, in the last tenth of the text."""
    config, p = read_folder(folder)
    unit = (config.get("n_positions") or config["max_position_embeddings"]) + 1
    part = text[len(text) - len(text) // 10 :]
    windows = torch.tensor([list(part[i * unit : (i + 1) * unit]) for i in range(min(64, len(part) // unit))])
    with torch.no_grad():
        logits = logits_of(config, p, windows[:, :-1])
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].reshape(-1)).item()


def fine_tune(what, folder, base):
    """A replay of the job file trains it on this machine, without a daemon."""
    text = b"".join(b"%d sheep and %d goats\n" % (i, 2 * i) for i in range(600))
    os.makedirs(folder)
    with open(folder + "/text", "wb") as file:
        file.write(text)
    with open(folder + "/job.toml", "w") as file:
        file.write(JOB.format(base=base))
    command = [tequio, "--data-dir", folder + "/data", "--quiet", "job", "replay", folder + "/job.toml", "--json"]
    command += ["--out", folder + "/out", "--write-chronicle", folder + "/chronicle", "--threads", "1"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    losses = [float(line.split()[1]) for line in open(folder + "/chronicle") if line.startswith("validation_loss")]
    compare(f"{what}, loss before training ({losses[0]:.4f})", losses[0], validation_loss(base, text))
    compare(f"{what}, loss after training ({losses[-1]:.4f})", losses[-1], validation_loss(folder + "/out", text))
    assert losses[-1] < losses[0] - 0.3, losses


with tempfile.TemporaryDirectory() as place:
    for model, kind, shard_bytes in [
        ("gpt2", "f32", 0),
        ("gpt2", "bf16", 60000),
        ("llama", "bf16", 0),
        ("llama-untied", "f32", 100000),
    ]:
        folder = f"{place}/{model}-{kind}"
        os.makedirs(folder)
        subprocess.run([dump, "write", folder, model, kind, str(shard_bytes)], check=True)
        assert os.path.exists(folder + "/model.safetensors.index.json") == (shard_bytes != 0)
        check_logits(f"{model} written by the program as {kind}", folder)

    gpt2, p = some_gpt2()
    buffers = {f"h.{i}.attn.bias": ("U8", [1, 1, 48, 48], bytes(48 * 48)) for i in range(2)}
    buffers["h.0.attn.masked_bias"] = ("F32", [], bytes(4))
    write_folder(place + "/torch-gpt2-f16", gpt2, {**p, **buffers}, "F16", shards=3)
    prefixed = {"transformer." + name: value for name, value in p.items()}
    write_folder(place + "/torch-gpt2-bf16", gpt2, {**prefixed, "lm_head.weight": p["wte.weight"]}, "BF16")
    tied, p = some_llama(tied=True)
    write_folder(place + "/torch-llama-f16", tied, p, "F16")
    untied, p = some_llama(tied=False)
    write_folder(place + "/torch-llama-untied-bf16", untied, p, "BF16", shards=2)
    for name in ("gpt2-f16", "gpt2-bf16", "llama-f16", "llama-untied-bf16"):
        check_logits(f"{name} written by PyTorch", f"{place}/torch-{name}")
    for name in ("gpt2-f16", "llama-untied-bf16"):
        fine_tune(f"{name} fine-tuned", f"{place}/job-{name}", f"{place}/torch-{name}")
sys.exit(1 if failed else 0)
