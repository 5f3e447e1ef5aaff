"""The checkpoints of the comparison, each network in the formats that the libraries read: GGUF, and ONNX for transformers.js.

usage: checkpoints.py FOLDER

Writes, where they are missing, FOLDER/{full,small}.gguf and the folders FOLDER/{full-wasm,full-webgpu,small-webgpu}. `full` has
Qwen3-0.6B's size, `small` its vocabulary and a tenth of its parameters; both are random and the same network in every format.
GGUF is Q4_0 as llama-quantize writes it (the tied embedding Q6_K). ONNX is 4 bits in blocks of 32 by onnxruntime-genai's
builder: for wasm with the embedding in f32 and separate projections, as the published exports of Qwen3 are (onnxruntime-web has
no 4-bit embedding there); for webgpu with one 4-bit matrix for embedding and head, which is its fastest form there. Beside them
FOLDER/not-text.json has the tokens that are no UTF-8 by themselves.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "fixtures"))

import checkpoints  # noqa: E402
import full_size  # noqa: E402
import onnx  # noqa: E402
import vocabulary  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

SMALL = checkpoints.Shape(
    "small", 13, 4, hidden=256, intermediate=768, heads=4, kv_heads=2, head_dim=64, tied=True, rope_theta=1e6, vocab=151936,
    max_context=4096,
)
SHAPES = {"full": full_size.FULL, "small": SMALL}

# What onnxruntime-genai's builder is told.
COMMON = ["block_size=32", "is_symmetric=true", "use_webgpu_fp32=true", "prune_lm_head=true"]
FORMS = {
    "wasm": [*COMMON, "fuse_qk_norm_gqa=false", "fuse_qkv=false", "shared_embeddings=false"],
    "webgpu": [*COMMON, "accuracy_level=4", "shared_embeddings=true"],
}


def write_onnx(folder: pathlib.Path, shape: checkpoints.Shape, form: str, words: vocabulary.Vocabulary) -> None:
    """A folder as transformers.js reads it."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        source, built = pathlib.Path(scratch, "source"), pathlib.Path(scratch, "built")
        checkpoints.write_safetensors(source, shape, words)
        tokenizer = {"tokenizer_class": "Qwen2Tokenizer", "chat_template": words.chat_template, "eos_token": words.tokens[words.eos]}
        (source / "tokenizer_config.json").write_text(json.dumps(tokenizer))
        ends = {"bos_token_id": words.bos, "eos_token_id": words.eos}
        (source / "generation_config.json").write_text(json.dumps(ends))
        (source / "config.json").write_text(json.dumps({**shape.config(), **ends}))
        builder = [sys.executable, "-m", "onnxruntime_genai.models.builder"]
        arguments = ["-i", str(source), "-o", str(built), "-p", "int4", "-e", "webgpu", "-c", scratch]
        quiet = {**os.environ, "TQDM_DISABLE": "1"}
        subprocess.run([*builder, *arguments, "--extra_options", *FORMS[form]], check=True, stdout=sys.stderr, env=quiet)
        model = onnx.load(built / "model.onnx")
        # transformers.js makes 0 of a dimension it has no name for.
        for value in [*model.graph.input, *model.graph.output]:
            for dimension in value.type.tensor_type.shape.dim:
                if dimension.dim_param == "kv_cache_dim":
                    dimension.dim_value = shape.head_dim
        whole = pathlib.Path(scratch, "whole")
        (whole / "onnx").mkdir(parents=True)
        onnx.save(model, whole / "onnx" / "model_q4.onnx")
        for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
            (source / name).rename(whole / name)
        whole.rename(folder)


def write_not_text(out: pathlib.Path) -> None:
    words = vocabulary.qwen3()
    tokenizer = Tokenizer.from_str(words.tokenizer_json)
    out.write_text(json.dumps([token for token in range(tokenizer.get_vocab_size()) if "\ufffd" in tokenizer.decode([token])]))


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "not-text.json").exists():
        write_not_text(folder / "not-text.json")
    for name, form in (("full", "gguf"), ("small", "gguf"), ("full", "wasm"), ("full", "webgpu"), ("small", "webgpu")):
        out = folder / (f"{name}.gguf" if form == "gguf" else f"{name}-{form}")
        if out.exists():
            continue
        print(f"making {out}", file=sys.stderr)
        shape = SHAPES[name]
        words = vocabulary.qwen3(shape.vocab)
        if form == "gguf":
            unfinished = out.with_suffix(".unfinished")
            checkpoints.write_gguf(unfinished, shape, "Q4_0_K", words)
            unfinished.rename(out)
        else:
            write_onnx(out, shape, form, words)


if __name__ == "__main__":
    main()
