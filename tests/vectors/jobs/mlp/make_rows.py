#!/usr/bin/env python3
"""Writes made_up.csv: 150 rows of 13 fractions, and a kind that follows from them."""

x = 1


def draw(bound):
    """Numerical Recipes' generator: any fixed numbers would do."""
    global x
    x = (x * 1664525 + 1013904223) % 2**32
    return (x >> 16) % bound


with open("made_up.csv", "w", encoding="utf-8") as out:
    out.write(",".join(f"v{i}" for i in range(13)) + ",kind\n")
    for _ in range(150):
        kind = draw(5)
        row = [draw(1000) / 100 + (4.25 if i % 5 == kind else 0) for i in range(13)]
        out.write(",".join(f"{v:.2f}" for v in row) + f",{'abcde'[kind]}\n")
