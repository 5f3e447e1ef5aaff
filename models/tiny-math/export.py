"""Writes the checkpoint as GGUF (Q8_0, F16): `python export.py [--checkpoint DIR] [--f16] [--verify]`. Same checkpoint, same bytes.

Weights pass through float16 first, so the committed float16 checkpoint gives exactly the committed GGUF.
Metadata keys and tensor names are those llama.cpp's converter writes for the architecture qwen3.
"""

import argparse
import json
import re
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType, LlamaFileType
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
NAME = "qwen3-tiny-math"
TENSORS = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
           "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
           "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def gguf_name(name):
    if match := re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.weight", name):
        return f"blk.{match[1]}.{TENSORS[match[2]]}.weight"
    return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[name]


def read_tokenizer():
    """(tokens, types, merges) in id order."""
    data = json.loads((HERE / "tokenizer.json").read_text())
    tokens = {i: (t, gguf.TokenType.NORMAL) for t, i in data["model"]["vocab"].items()}
    for added in data["added_tokens"]:
        tokens[added["id"]] = added["content"], gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
    merges = [m if isinstance(m, str) else " ".join(m) for m in data["model"]["merges"]]
    return [tokens[i][0] for i in range(len(tokens))], [tokens[i][1] for i in range(len(tokens))], merges


def write_gguf(path, config, weights, quantised):
    tokens, types, merges = read_tokenizer()
    assert len(tokens) == config["vocab_size"]
    w = gguf.GGUFWriter(str(path), "qwen3")
    w.add_type(gguf.GGUFType.MODEL)
    w.add_name(NAME)
    w.add_size_label("%.1fM" % (sum(t.numel() for t in weights.values()) / 1e6))
    w.add_block_count(config["num_hidden_layers"])
    w.add_context_length(config["max_position_embeddings"])
    w.add_embedding_length(config["hidden_size"])
    w.add_feed_forward_length(config["intermediate_size"])
    w.add_head_count(config["num_attention_heads"])
    w.add_head_count_kv(config["num_key_value_heads"])
    w.add_rope_freq_base(config["rope_theta"])
    w.add_layer_norm_rms_eps(config["rms_norm_eps"])
    w.add_key_length(config["head_dim"])
    w.add_value_length(config["head_dim"])
    w.add_file_type(LlamaFileType.MOSTLY_Q8_0 if quantised else LlamaFileType.MOSTLY_F16)
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list(tokens)
    w.add_token_types(types)
    w.add_token_merges(merges)
    w.add_eos_token_id(tokens.index("<|im_end|>"))
    w.add_pad_token_id(tokens.index("<|endoftext|>"))
    w.add_bos_token_id(tokens.index("<|endoftext|>"))
    w.add_add_bos_token(False)
    w.add_chat_template((HERE / "chat_template.jinja").read_text())
    for name in sorted(weights):
        x = weights[name].to(torch.float32).numpy()
        if x.ndim == 1:
            w.add_tensor(gguf_name(name), x)
        elif quantised:
            w.add_tensor(gguf_name(name), gguf.quants.quantize(x, GGMLQuantizationType.Q8_0), raw_dtype=GGMLQuantizationType.Q8_0)
        else:
            w.add_tensor(gguf_name(name), x.astype(np.float16))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    print(path, path.stat().st_size, "bytes")


def write_checkpoint(directory, config, weights):
    """The checkpoint as transformers loads it: float16 weights, config, tokenizer, chat template."""
    directory.mkdir(exist_ok=True)
    save_file({k: v.contiguous() for k, v in weights.items()}, directory / "model.safetensors", metadata={"format": "pt"})
    tokens = read_tokenizer()[0]
    config = {**config, "torch_dtype": "float16", "eos_token_id": tokens.index("<|im_end|>"), "bos_token_id": tokens.index("<|endoftext|>")}
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (directory / "tokenizer.json").write_text((HERE / "tokenizer.json").read_text())
    settings = {"tokenizer_class": "Qwen2Tokenizer", "add_bos_token": False, "add_prefix_space": False, "bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
                "unk_token": None, "errors": "replace", "model_max_length": config["max_position_embeddings"], "clean_up_tokenization_spaces": False,
                "chat_template": (HERE / "chat_template.jinja").read_text()}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n")


def verify(directory, weights):
    """Our training code and transformers' Qwen3ForCausalLM must compute the same logits, and transformers the same prompt."""
    from transformers import AutoTokenizer, Qwen3ForCausalLM

    from generate import stream
    from model import Qwen3

    theirs, ours = Qwen3ForCausalLM.from_pretrained(directory, dtype=torch.float32).eval(), Qwen3().eval()
    ours.load_state_dict({k: v.float() for k, v in weights.items()})
    tokenizer = AutoTokenizer.from_pretrained(directory)
    worst = 0.0
    for (example, rng), _ in zip(stream("verify"), range(20)):
        prompt, target = example.parts(rng)
        options = {} if example.mode != "off" else {"enable_thinking": False}
        rendered = tokenizer.apply_chat_template(example.messages, tools=example.tools or None, tokenize=False, add_generation_prompt=True, **options)
        assert prompt.startswith(rendered), (prompt, rendered)
        ids = torch.tensor([tokenizer(prompt + target).input_ids])
        with torch.no_grad():
            worst = max(worst, (theirs(ids).logits - ours.logits(ours(ids))).abs().max().item())
    print(f"largest difference of logits to transformers: {worst:.2e}")
    assert worst < 1e-3


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=HERE / "checkpoint")
    parser.add_argument("--f16", action="store_true", help="write the F16 file too")
    parser.add_argument("--publish", action="store_true", help="write the float16 checkpoint to ./published")
    parser.add_argument("--verify", action="store_true", help="compare with transformers (needs the published checkpoint)")
    args = parser.parse_args()
    config = json.loads((args.checkpoint / "config.json").read_text())
    weights = load_file(args.checkpoint / "model.safetensors")
    weights = {k: v.to(torch.float16) for k, v in weights.items()}
    write_gguf(HERE / f"{NAME}-q8_0.gguf", config, weights, True)
    if args.f16:
        write_gguf(HERE / f"{NAME}-f16.gguf", config, weights, False)
    if args.publish:
        write_checkpoint(HERE / "published", config, weights)
    if args.verify:
        verify(HERE / "published", weights)
