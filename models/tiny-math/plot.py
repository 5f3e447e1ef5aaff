"""Draws the loss curve: `python plot.py checkpoint/loss.jsonl loss.svg`."""

import json
import sys
from math import log10
from pathlib import Path

W, H, LEFT, BOTTOM = 720, 360, 50, 40


def main(source, target):
    rows = [json.loads(line) for line in Path(source).read_text().splitlines()]
    tokens, losses = [r["tokens"] / 1e6 for r in rows], [r["loss"] for r in rows]
    low, high = log10(min(losses)) - 0.05, log10(max(losses)) + 0.05
    x = lambda t: LEFT + t / tokens[-1] * (W - LEFT - 15)
    y = lambda v: 15 + (high - log10(v)) / (high - low) * (H - BOTTOM - 15)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {W} {H}" font-family="sans-serif" font-size="12">', f'<rect width="{W}" height="{H}" fill="#fff"/>']
    for v in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5):
        if low < log10(v) < high:
            parts.append(f'<path d="M{LEFT} {y(v):.1f}H{W - 15}" stroke="#ddd"/><text x="{LEFT - 6}" y="{y(v) + 4:.1f}" text-anchor="end">{v}</text>')
    for i in range(5):
        t = tokens[-1] * i / 4
        parts.append(f'<text x="{x(t):.1f}" y="{H - BOTTOM + 18}" text-anchor="middle">{t:.1f}</text>')
    points = " ".join(f"{x(t):.1f},{y(v):.1f}" for t, v in zip(tokens, losses))
    parts.append(f'<polyline points="{points}" fill="none" stroke="#36c" stroke-width="1.2"/>')
    parts.append(f'<text x="{W / 2}" y="{H - 6}" text-anchor="middle">million tokens (prompt and padding included); cross-entropy of the reply, log scale</text></svg>')
    Path(target).write_text("\n".join(parts) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
