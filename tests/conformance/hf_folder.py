"""Hugging Face folders read and written by other code than the program's: config.json, safetensors in one file or several, F32, F16
and BF16. PyTorch converts the values.
"""
import json
import os

import torch

TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "U8": torch.uint8}


def read_safetensors(path):
    """Name -> float32 tensor."""
    with open(path, "rb") as file:
        data = file.read()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    out = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        raw = bytearray(data[8 + size + begin : 8 + size + end])
        out[name] = torch.frombuffer(raw, dtype=TYPES[entry["dtype"]]).to(torch.float32).view(entry["shape"])
    return out


def read_folder(folder):
    """config.json as a dict, and name -> float32 tensor, by the index where there is one."""
    config = json.load(open(folder + "/config.json"))
    index = folder + "/model.safetensors.index.json"
    if not os.path.exists(index):
        return config, read_safetensors(folder + "/model.safetensors")
    places = json.load(open(index))["weight_map"]
    files = {file: read_safetensors(folder + "/" + file) for file in set(places.values())}
    for file, tensors in files.items():
        assert set(tensors) == {name for name, place in places.items() if place == file}, file
    return config, {name: files[file][name] for name, file in places.items()}


def write_safetensors(path, tensors, kind):
    """tensors: name -> float32 tensor, or (type name, shape, bytes) as it stands."""
    header, blocks, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name, value in tensors.items():
        if isinstance(value, tuple):
            dtype, shape, raw = value
        else:
            dtype, shape = kind, list(value.shape)
            stored = value.to(TYPES[kind]).contiguous()
            raw = (stored if kind == "F32" else stored.view(torch.int16)).numpy().tobytes()
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(raw)]}
        blocks.append(raw)
        offset += len(raw)
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(blocks))


def write_folder(folder, config, tensors, kind, shards=1):
    """Several shards take the tensors in turn, so that each layer is spread over all of them."""
    os.makedirs(folder, exist_ok=True)
    with open(folder + "/config.json", "w") as file:
        json.dump(config, file, indent=2)
    if shards == 1:
        write_safetensors(folder + "/model.safetensors", tensors, kind)
        return
    places = {}
    for i in range(shards):
        name_of_file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        part = dict(list(tensors.items())[i::shards])
        write_safetensors(folder + "/" + name_of_file, part, kind)
        places.update({name: name_of_file for name in part})
    with open(folder + "/model.safetensors.index.json", "w") as file:
        json.dump({"metadata": {"total_size": 0}, "weight_map": places}, file)
