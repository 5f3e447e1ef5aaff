"""Qwen3 for training on a CPU: the weights and their names are those of transformers' Qwen3ForCausalLM, the code is only faster."""

import torch
import torch.nn.functional as F
from torch import nn

CONFIG = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": 1024, "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 6,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 2048, "rope_theta": 10000.0, "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True, "attention_bias": False, "attention_dropout": 0.0, "hidden_act": "silu", "initializer_range": 0.02, "use_sliding_window": False,
    "use_cache": True, "torch_dtype": "float32",
}
WIDTH, INNER, LAYERS, HEADS, KV, DIM, EPS = (CONFIG[k] for k in (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "rms_norm_eps"))


class Norm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x, scale=1.0):
        return F.rms_norm(x, (x.shape[-1],), (self.weight * scale).to(x.dtype), EPS)


def linear(n, m):
    return nn.Linear(n, m, bias=False)


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = linear(WIDTH, HEADS * DIM), linear(WIDTH, KV * DIM), linear(WIDTH, KV * DIM)
        self.o_proj = linear(HEADS * DIM, WIDTH)
        self.q_norm, self.k_norm = Norm(DIM), Norm(DIM)
        size = CONFIG["max_position_embeddings"]
        self.register_buffer("causal", torch.full((size, size), float("-inf")).triu(1), persistent=False)

    def forward(self, x, cos, sin, cache, mask):
        b, t, _ = x.shape
        q = rotate(self.q_norm(self.q_proj(x).view(b, t, HEADS, DIM), DIM**-0.5).transpose(1, 2), cos, sin)
        k = rotate(self.k_norm(self.k_proj(x).view(b, t, KV, DIM)).transpose(1, 2), cos, sin)
        v = self.v_proj(x).view(b, t, KV, DIM).transpose(1, 2)
        if cache is not None:
            k, v = (torch.cat([old, new], 2) for old, new in zip(cache, (k, v))) if cache else (k, v)
            cache[:] = [k, v]
        k, v = (z.repeat_interleave(HEADS // KV, 1) for z in (k, v))
        if mask is None:
            mask = self.causal[:t, :t].to(q.dtype)
        # Spelled out: on short sequences several times faster on a CPU than scaled_dot_product_attention's backward pass.
        o = torch.softmax(q @ k.mT + mask, -1) @ v
        return self.o_proj(o.transpose(1, 2).reshape(b, t, -1))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = linear(WIDTH, INNER), linear(WIDTH, INNER), linear(INNER, WIDTH)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.input_layernorm, self.self_attn, self.post_attention_layernorm, self.mlp = Norm(WIDTH), Attention(), Norm(WIDTH), Mlp()

    def forward(self, x, *rest):
        x = x + self.self_attn(self.input_layernorm(x), *rest)
        return x + self.mlp(self.post_attention_layernorm(x))


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_tokens, self.layers, self.norm = nn.Embedding(CONFIG["vocab_size"], WIDTH), nn.ModuleList(Layer() for _ in range(LAYERS)), Norm(WIDTH)


class Qwen3(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = Body()
        for p in self.parameters():
            if p.ndim == 2:
                nn.init.normal_(p, std=CONFIG["initializer_range"])
        f = CONFIG["rope_theta"] ** (-torch.arange(0, DIM, 2).float() / DIM)
        angle = torch.outer(torch.arange(CONFIG["max_position_embeddings"]).float(), f)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def forward(self, ids, positions=None, caches=None, mask=None):
        """Hidden states after the last norm: [batch, tokens, width]. `positions` [batch, tokens] and `mask` serve left-padded generation."""
        x = self.model.embed_tokens(ids)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        x = x.to(dtype)
        if positions is None:
            cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        else:
            cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]
        cos, sin = cos.to(dtype), sin.to(dtype)
        for i, layer in enumerate(self.model.layers):
            x = layer(x, cos, sin, caches[i] if caches is not None else None, mask)
        return self.model.norm(x)

    def logits(self, hidden):
        return F.linear(hidden, self.model.embed_tokens.weight.to(hidden.dtype)).float()
