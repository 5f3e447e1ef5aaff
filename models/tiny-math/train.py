"""Trains the model on the generated stream: `python train.py --steps 20000`, resumable, then `python train.py --cooldown 20`.

The learning rate warms up, stays, and falls to zero over the cooldown, which may start at any checkpoint. Loss on the assistant's tokens only.
Muon moves the matrices of the layers, Adam the embedding and the norms.
"""

import argparse
import json
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from generate import STAGES, stream
from model import CONFIG, Qwen3
from tokenizer import load

POOL = 1536  # examples drawn, sorted by length and cut into batches at a time
IGNORE = -100
AVERAGE, COOLDOWN_AVERAGE = 0.998, 0.9  # decay of the running average of the weights, which is what the checkpoint publishes


def batches(tokenizer, seed, stage, pool, tokens):
    """The batches (ids, labels) of one pool; same seed and pool, same batches. Right-padded: causal attention never sees the padding."""
    items = []
    for (example, rng), _ in zip(stream(f"{seed}/{pool}", stage=stage), range(POOL)):
        prompt, target = (tokenizer.encode(p).ids for p in example.parts(rng))
        items.append((prompt + target, len(prompt)))
    items.sort(key=lambda item: len(item[0]))
    out, start = [], 0
    while start < len(items):
        end = start + 1
        while end < len(items) and (end + 1 - start) * len(items[end][0]) <= tokens:
            end += 1
        width = len(items[end - 1][0])
        ids, labels = torch.zeros(end - start, width, dtype=torch.long), torch.full((end - start, width), IGNORE)
        for row, (sequence, prompt) in enumerate(items[start:end]):
            s = torch.tensor(sequence)
            ids[row, : len(s)] = s
            labels[row, prompt - 1 : len(s) - 1] = s[prompt:]
        out.append((ids, labels))
        start = end
    random.Random(f"{seed}/{pool}").shuffle(out)
    return out


class Muon(torch.optim.Optimizer):
    """Momentum orthogonalised by a Newton-Schulz iteration (Jordan et al., 2024), all matrices of one shape at once."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.01):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            shapes = {}
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                m = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                shapes.setdefault(p.shape, []).append((p, p.grad.lerp(m, group["momentum"])))
            for (rows, columns), pairs in shapes.items():
                x = torch.stack([u for _, u in pairs]).bfloat16()
                x = x.mT if rows > columns else x
                x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
                for _ in range(5):
                    a = x @ x.mT
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
                x = (x.mT if rows > columns else x).float()
                for (p, _), u in zip(pairs, x):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).add_(u, alpha=-group["lr"] * max(1, rows / columns) ** 0.5)


def optimizers(model, args):
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [Muon(matrices, args.lr), torch.optim.AdamW(others, args.lr * 0.2, betas=(0.9, 0.98), weight_decay=0.0)]


def loss_of(model, ids, labels):
    labels = labels.flatten()
    learned = labels != IGNORE
    with torch.autocast("cpu", torch.bfloat16):
        return F.cross_entropy(model.logits(model(ids).flatten(0, 1)[learned]), labels[learned])


def save(path, model, average, opts, state):
    torch.save({"model": model.state_dict(), "average": average, "optimizers": [o.state_dict() for o in opts], "state": state}, path / "last.tmp")
    (path / "last.tmp").rename(path / "last.pt")
    save_file({k: v.contiguous() for k, v in average.items()}, path / "model.safetensors", metadata={"format": "pt"})
    (path / "config.json").write_text(json.dumps(CONFIG, indent=2))


def restore(path, model, opts):
    """(average, state) of the last checkpoint, its weights and optimizer state put into place; None where there is none."""
    if not (path / "last.pt").exists():
        return None
    saved = torch.load(path / "last.pt", weights_only=False)
    model.load_state_dict(saved["model"])
    for o, s in zip(opts, saved["optimizers"]):
        o.load_state_dict(s)
    return saved["average"], saved["state"]


def work(args, model, pools, done):
    """A worker: gradients of one pool after another, on the shared weights as they are when it looks. It never waits for the others,
    so that a processor taken away from one of them for a while slows down nothing else."""
    torch.set_num_threads(1)
    tokenizer, mine = load(), Qwen3()
    while True:
        with pools.get_lock():
            pool, pools.value = pools.value, pools.value + 1
        for ids, labels in batches(tokenizer, args.seed, args.stage, pool, args.tokens):
            mine.load_state_dict(model.state_dict())
            loss = loss_of(mine, ids, labels)
            loss.backward()
            done.put((ids.numel(), loss.item(), [p.grad.numpy() for p in mine.parameters()]))
            mine.zero_grad(set_to_none=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("checkpoint"))
    parser.add_argument("--init", type=Path, help="start from these weights (a model.safetensors), with fresh optimizers")
    parser.add_argument("--seed", default="tiny-math")
    parser.add_argument("--stage", choices=STAGES, default="full", help="what is drawn: see generate.py")
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--cooldown", type=float, default=0, metavar="MINUTES", help="decay the learning rate to zero over this time, then stop")
    parser.add_argument("--tokens", type=int, default=4096, help="tokens of a batch, padding included")
    parser.add_argument("--lr", type=float, default=0.015)
    parser.add_argument("--save-seconds", type=float, default=120)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each that compute gradients")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = Qwen3()
    if args.init:
        model.load_state_dict({k: v.float() for k, v in load_file(args.init).items()})
    opts = optimizers(model, args)
    average = {k: v.clone() for k, v in model.state_dict().items()}
    average, state = restore(args.out, model, opts) or (average, {"step": 0, "pool": 0, "tokens": 0, "seconds": 0.0})
    args.out.mkdir(exist_ok=True)
    log = open(args.out / "loss.jsonl", "a", buffering=1)
    model.share_memory()
    context = torch.multiprocessing.get_context("spawn")
    pools, done = context.Value("q", state["pool"]), context.Queue(1)
    workers = [context.Process(target=work, args=(args, model, pools, done), daemon=True) for _ in range(args.workers)]
    for w in workers:
        w.start()
    last_save, losses, started = time.time(), [], time.time()
    bar, first = tqdm(total=None if args.cooldown else args.steps, initial=state["step"], mininterval=10), 0.0
    while args.cooldown or state["step"] < args.steps:
        (tokens, loss, gradients), step = done.get(), state["step"]
        first = first or time.time()
        rate = min(1, (step + 1) / 100) * (1 - (time.time() - first) / 60 / args.cooldown if args.cooldown else 1)
        if rate <= 0:
            break
        for p, g in zip(model.parameters(), gradients):
            p.grad = torch.from_numpy(g)
        for o, lr in zip(opts, (args.lr, args.lr * 0.2)):
            o.param_groups[0]["lr"] = lr * rate
            o.step()
        state["step"], state["pool"] = step + 1, pools.value
        decay = COOLDOWN_AVERAGE if args.cooldown else min(AVERAGE, 1 - 1 / (state["step"] + 1))
        torch._foreach_lerp_(list(average.values()), [v.detach() for v in model.state_dict().values()], 1 - decay)
        state["tokens"] += tokens
        state["seconds"] += time.time() - started
        started = time.time()
        losses.append(loss)
        bar.update(1)
        if state["step"] % 20 == 0:
            mean = sum(losses) / len(losses)
            losses = []
            bar.set_description(f"loss {mean:.4f} {state['tokens'] / state['seconds'] / 1e3:.1f} k tokens/s")
            log.write(json.dumps({**state, "loss": round(mean, 5), "rate": rate}) + "\n")
        if time.time() - last_save > args.save_seconds:
            save(args.out, model, average, opts, state)
            last_save = time.time()
    save(args.out, model, average, opts, state)
    for w in workers:
        w.terminate()


if __name__ == "__main__":
    main()
