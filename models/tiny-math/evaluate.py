"""Exact-answer accuracy by family, mode and language on problems whose text is never trained on (see generate.py's split).

`python evaluate.py --checkpoint DIR --count 50`: batched sampling in PyTorch with Qwen3's parameters: thinking 0.6 / 0.95 / 20, else 0.7 / 0.8 / 20.
`--gguf FILE` evaluates the quantised weights of an exported file instead.
"""

import argparse
import random
import sys
from math import sqrt
from pathlib import Path

import torch

from generate import FAMILIES, is_right, sample
from model import LAYERS, Qwen3
from tokenizer import load

LIMIT = 900
SAMPLING = {"think": (0.6, 0.95, 20), "off": (0.7, 0.8, 20), "no_think": (0.7, 0.8, 20)}


def choose(logits, temperature, top_p, top_k, generator):
    values, indices = (logits / temperature).topk(top_k)
    p = values.softmax(-1)
    p[p.cumsum(-1) - p >= top_p] = 0
    return indices.gather(1, torch.multinomial(p, 1, generator=generator))[:, 0]


@torch.no_grad()
def generate(model, prompts, stop, sampling, generator, limit=LIMIT):
    """Continues left-padded prompts (lists of ids) until `stop`; returns the new ids of each, without `stop`, and whether the limit was hit."""
    width, n = max(map(len, prompts)), len(prompts)
    ids, pad = torch.zeros(n, width, dtype=torch.long), torch.tensor([width - len(p) for p in prompts])
    for row, p in zip(ids, prompts):
        row[width - len(p) :] = torch.tensor(p)
    caches = [[] for _ in range(LAYERS)]
    alive, out = list(range(n)), [[] for _ in range(n)]
    step_ids, start = ids, 0
    while alive:
        t, total = step_ids.shape[1], start + step_ids.shape[1]
        keys = torch.arange(total)
        queries = torch.arange(start, total)
        hidden_keys = (keys[None, None] < pad[:, None, None]) | (keys[None, None] > queries[None, :, None])
        hidden_keys &= ~(keys[None, None] == queries[None, :, None])  # padding attends to itself, so that no row is empty
        mask = torch.zeros(hidden_keys.shape).masked_fill(hidden_keys, float("-inf"))[:, None]
        positions = (queries[None] - pad[:, None]).clamp(min=0)
        logits = model.logits(model(step_ids, positions, caches, mask)[:, -1])
        start = total
        tokens = choose(logits, *sampling, generator)
        keep = []
        for row, (i, token) in enumerate(zip(alive, tokens.tolist())):
            if token != stop:
                out[i].append(token)
                if len(out[i]) < limit:
                    keep.append(row)
        alive = [alive[row] for row in keep]
        if len(keep) < len(tokens):
            caches = [[c[keep] for c in cache] for cache in caches]
            pad, tokens = pad[keep], tokens[keep]
        step_ids = tokens[:, None]
    return out, [len(o) >= limit for o in out]


def wilson(right, n):
    """95 % interval of a proportion."""
    z, p = 1.96, right / n
    centre, half = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)


def test_problems(family, lang, mode, count, scale, seed="test"):
    """Distinct test-split problems; families of fixed texts (greetings) have no held-out text and are taken as they are."""
    rng, seen, out = random.Random(f"{seed}/{family}/{lang}/{mode}/{scale}"), set(), []
    for _ in range(count * 400):
        example = sample(rng, lang, family, scale, mode)
        key = example.prompt()
        if key not in seen and (family in ("greet", "able") or example.is_test()):
            seen.add(key)
            out.append(example)
            if len(out) == count:
                break
    return out


def load_weights(args):
    if not args.gguf:
        from safetensors.torch import load_file

        return {k: v.float() for k, v in load_file(args.checkpoint / "model.safetensors").items()}
    import gguf

    from export import gguf_name

    tensors = {t.name: torch.from_numpy(gguf.quants.dequantize(t.data, t.tensor_type).copy()) for t in gguf.GGUFReader(args.gguf).tensors}
    return {name: tensors[gguf_name(name)] for name in Qwen3().state_dict()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path(__file__).parent / "published")
    parser.add_argument("--gguf")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--families", nargs="*", default=[*FAMILIES, "tool", "follow"])
    parser.add_argument("--modes", nargs="*", default=["think", "off"])
    parser.add_argument("--langs", nargs="*", default=["en", "zh"])
    parser.add_argument("--scales", nargs="*", default=["small", "middle", "full"], help="ranges of quadratic, linear and system")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--show", type=int, default=0, help="print so many wrong replies of each row")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tokenizer, model = load(), Qwen3().eval()
    model.load_state_dict(load_weights(args))
    stop = tokenizer.token_to_id("<|im_end|>")
    print("| family | range | mode | language | right | accuracy | 95 % interval | thinking tokens | limit hits |\n|---|---|---|---|---|---|---|---|---|")
    for family in args.families:
        for scale in args.scales if family in ("quadratic", "linear", "system") else [None]:
            for mode in args.modes:
                for lang in args.langs:
                    examples = test_problems(family, lang, mode, args.count, scale)
                    if not examples:
                        continue
                    prompts = [tokenizer.encode(e.prompt()).ids for e in examples]
                    generator = torch.Generator().manual_seed(1)
                    outputs, limits = generate(model, prompts, stop, SAMPLING[mode], generator)
                    right, thought, shown = 0, 0, 0
                    for e, ids in zip(examples, outputs):
                        text = tokenizer.decode(ids, skip_special_tokens=False)
                        thinking, close, reply = text.rpartition("</think>")
                        well_formed = bool(close) if mode != "off" else not close
                        if mode == "no_think":
                            well_formed = thinking.strip() == "<think>"
                        good = well_formed and is_right(e, reply)
                        right += good
                        thought += len(tokenizer.encode(thinking).ids)
                        if not good and shown < args.show:
                            shown += 1
                            print(f"--- {e.messages[-1]['content']}\n{text}\n--- wanted: {e.answer}", file=sys.stderr)
                    n, (low, high) = len(examples), wilson(right, len(examples))
                    print(f"| {family} | {scale or ''} | {mode} | {lang} | {right}/{n} | {100 * right / n:.1f} % | {100 * low:.1f} to {100 * high:.1f} | {thought / n:.0f} | {sum(limits)} |", flush=True)


if __name__ == "__main__":
    main()
