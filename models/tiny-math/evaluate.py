"""Exact-answer accuracy by family, mode and language on problems whose text is never trained on (see generate.py's split).

`python evaluate.py --checkpoint DIR --count 50`: batched sampling in PyTorch with Qwen3's parameters: thinking 0.6 / 0.95 / 20, else 0.7 / 0.8 / 20.
`--gguf FILE` evaluates the quantised weights of an exported file instead, `--engine target/release/qwen3` with `--gguf` samples in our
own engine through its command line (problems of one turn without tools).
"""

import argparse
import json
import random
import subprocess
import sys
from math import sqrt
from pathlib import Path

import torch

from generate import FAMILIES, Example, is_right, quadratic_thinking, sample
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
    return max(0.0, centre - half) / (1 + z * z / n), min(1.0, (centre + half) / (1 + z * z / n))


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


def fits_engine(example):
    """Whether the engine's command line can ask it: one turn, with or without a system prompt, no tools."""
    return [m["role"] for m in example.messages if m["role"] != "system"] == ["user"] and not example.tools


def ask_engine(args, example, seed, *options):
    """(thinking, reply, limit hit) of one problem from the native engine."""
    command = [args.engine, "chat", "--model", args.gguf, "--device", args.device, f"--prompt={example.messages[-1]['content']}", "--seed", str(seed), "--max-tokens", str(LIMIT), "--json", *options]
    command += [f"--system={m['content']}" for m in example.messages if m["role"] == "system"]
    if example.mode == "off":
        command.append("--no-thinking")
    events = [json.loads(line) for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()]
    result = next(e for e in events if e["type"] == "done")["result"]
    return result["thinking"], result["content"], result["finishReason"] == "length"


def sample_here(model, tokenizer, examples, mode):
    """The same from the PyTorch model, all problems at once. An unclosed or unwanted think block makes the reply None."""
    prompts = [tokenizer.encode(e.prompt()).ids for e in examples]
    outputs, limits = generate(model, prompts, tokenizer.token_to_id("<|im_end|>"), SAMPLING[mode], torch.Generator().manual_seed(1))
    rows = []
    for ids, limit in zip(outputs, limits):
        text = tokenizer.decode(ids, skip_special_tokens=False)
        thinking, close, reply = text.rpartition("</think>")
        thinking = thinking.removeprefix("<think>").strip()
        formed = {"think": bool(close), "off": not close, "no_think": bool(close) and not thinking}[mode]
        rows.append((thinking, reply if formed else None, limit))
    return rows


def conversations(args, model, tokenizer, seeds):
    """What the first minute with the model consists of, each over several seeds: (name, example, options of the engine)."""
    _, _, answer = quadratic_thinking(3, 5, -2, "en")
    solve, triangle = "Solve 3x² + 5x − 2 = 0", "A triangle has angles x, 2x, 3x. What are the angles?"
    angles = "x = 30°, so the angles are 30°, 60° and 90°."
    user, said = (lambda text: {"role": "user", "content": text}), {"role": "assistant", "content": answer}
    cases = [("3x² + 5x − 2 = 0", Example("quadratic", "en", [user(solve)], "", answer)),
             ("the same in Chinese", Example("quadratic", "zh", [user("解方程 3x² + 5x − 2 = 0")], "", answer)),
             ("the same, /no_think", Example("quadratic", "en", [user(solve + " /no_think")], "", answer, mode="no_think")),
             ("the same, 8 tokens of thinking", Example("quadratic", "en", [user(solve)], "", answer), "--thinking-budget", "8"),
             ("triangle x, 2x, 3x", Example("triangle", "en", [user(triangle)], "", angles)),
             ("then: now double the larger root", Example("follow", "en", [user(solve), said, user("now double the larger root")], "", "The answer is 2/3.")),
             ("then: the triangle", Example("follow", "en", [user(solve), said, user(triangle)], "", angles))]
    print("| conversation | in | right | thought | answered | limit hits |\n|---|---|---|---|---|---|")
    for name, example, *options in cases:
        native = bool(args.engine) and fits_engine(example)
        if options and not native:
            continue
        rows = [ask_engine(args, example, s, *options) for s in range(1, seeds + 1)] if native else sample_here(model, tokenizer, [example] * seeds, example.mode)
        right, thought, answered = (sum(map(bool, v)) for v in (
            [reply is not None and is_right(example, reply) for _, reply, _ in rows], [t for t, _, _ in rows], [r and r.strip() for _, r, _ in rows]))
        print(f"| {name} | {'engine' if native else 'PyTorch'} | {right}/{seeds} | {thought} | {answered} | {sum(limit for _, _, limit in rows)} |", flush=True)


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
    parser.add_argument("--engine", help="the native qwen3 binary")
    parser.add_argument("--device", default="cpu", help="its --device")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--families", nargs="*", default=[*FAMILIES, "tool", "follow"])
    parser.add_argument("--modes", nargs="*", default=["think", "off"])
    parser.add_argument("--langs", nargs="*", default=["en", "zh"])
    parser.add_argument("--scales", nargs="*", default=["small", "middle", "full"], help="ranges of quadratic, linear and system")
    parser.add_argument("--digits", nargs="*", default=["basic", "full"], help="ranges of arithmetic: the stages of generate.py")
    parser.add_argument("--conversations", type=int, default=0, metavar="SEEDS", help="instead of the table, the example's conversations, each for so many seeds")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--show", type=int, default=0, help="print so many wrong replies of each row")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tokenizer, model = load(), Qwen3().eval()
    if not args.engine or args.conversations:
        model.load_state_dict(load_weights(args))
    if args.conversations:
        conversations(args, model, tokenizer, args.conversations)
        return
    totals = {}
    print("| family | range | mode | language | right | accuracy | 95 % interval | thinking tokens | limit hits |\n|---|---|---|---|---|---|---|---|---|")
    for family in args.families:
        for scale in args.scales if family in ("quadratic", "linear", "system") else args.digits if family == "arithmetic" else [None]:
            for mode in args.modes:
                for lang in args.langs:
                    examples = test_problems(family, lang, mode, args.count, scale)
                    if args.engine:
                        examples = [e for e in examples if fits_engine(e)]
                    if not examples:
                        continue
                    rows = [ask_engine(args, e, i) for i, e in enumerate(examples)] if args.engine else sample_here(model, tokenizer, examples, mode)
                    verdicts = [reply is not None and is_right(e, reply) for e, (_, reply, _) in zip(examples, rows)]
                    wrong = [(e, row) for e, row, good in zip(examples, rows, verdicts) if not good]
                    for e, (thinking, reply, _) in wrong[: args.show]:
                        print(f"--- {e.messages[-1]['content']}\n{thinking}\n-> {reply}\n--- wanted: {e.answer}", file=sys.stderr)
                    n, right, (low, high) = len(examples), sum(verdicts), wilson(sum(verdicts), len(examples))
                    thought = sum(len(tokenizer.encode(thinking).ids) for thinking, _, _ in rows) / n
                    limits = sum(limit for _, _, limit in rows)
                    totals[mode] = [a + b for a, b in zip(totals.get(mode, (0, 0, 0)), (n, right, limits))]
                    print(f"| {family} | {scale or ''} | {mode} | {lang} | {right}/{n} | {100 * right / n:.1f} % | {100 * low:.1f} to {100 * high:.1f} | {thought:.0f} | {limits} |", flush=True)
    for mode, (n, right, limits) in totals.items():
        print(f"\n{mode}: {right} of {n} right ({100 * right / n:.1f} %), {limits} reached the limit of {LIMIT} tokens ({100 * limits / n:.2f} %)")


if __name__ == "__main__":
    main()
