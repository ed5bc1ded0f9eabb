#!/usr/bin/env python3
"""Prints the places of training sequences that tests/unit/training/dataset_test.cpp expects, and the
order of examples that examples_test.cpp does.

Written from NUMERICS.md (Random numbers), training/dataset.hpp and training/examples.hpp alone, with a Philox 4x32-10 of
its own (Salmon et al. 2011), so that an error would have to be made twice.
"""
import hashlib
import struct


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def start(key, lane_round, index, places):
    def word(i):
        low = [(i // 4) & 0xFFFFFFFF, (i // 4) >> 32]
        return philox(low + [lane_round & 0xFFFFFFFF, lane_round >> 32], key)[i % 4]

    x = word(2 * index) | word(2 * index + 1) << 32
    return x * places >> 64


data, seed, tokens, context = hashlib.sha256(b"order").digest(), 1, 1000000, 8
assert philox([0, 0, 0, 0], [0, 0]) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
key = struct.unpack("<II", hashlib.sha256(b"data order\0" + struct.pack("<Q", seed) + data).digest()[:8])
for rnd, lane, step, index in [(0, 0, 0, 0), (0, 0, 0, 1), (5, 4, 3, 2), (1048575, 65535, 1048575, 9)]:
    print(start(key, step + (lane << 24) + (rnd << 40), index, tokens - context))

# Eight examples, example i with the one value i and the label i mod 2 (training/examples.hpp, Shuffling).
labels, values = b"".join(struct.pack("<I", i % 2) for i in range(8)), b"".join(struct.pack("<f", i) for i in range(8))
digest = hashlib.sha256(labels + values).digest()
key = struct.unpack("<II", hashlib.sha256(b"example order\0" + struct.pack("<Q", 0) + digest).digest()[:8])
order = list(range(8))
for i in range(7, 0, -1):
    j = start(key, 0, i, i + 1)
    order[i], order[j] = order[j], order[i]
print(*order)
