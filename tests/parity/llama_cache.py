"""How often llama.cpp names the same next token with its q8_0 KV cache as with its f16 one: `llama_cache.py GGUF TOKENS`.

It puts our own 8-bit cache's figures beside those of the format that people know. One process measures one cache.
"""

import json
import subprocess
import sys
import urllib.request

from report import text


def next_tokens(path, kind, count):
    """The likeliest token after each of the first `count` tokens of the text."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {"measured"}
    params.port = 0
    params.n_ctx = count + 8
    params.n_parallel = 1
    params.warmup = False
    params.cache_type_k = params.cache_type_v = getattr(xllamacpp.ggml_type, kind)
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    server = xllamacpp.Server(params)

    def ask(call, body):
        request = urllib.request.Request(server.listening_address + call, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as response:
            return json.load(response)

    ids = ask("/tokenize", {"content": text(), "add_special": False})["tokens"][:count]
    greedy = {"n_predict": 1, "temperature": 0, "cache_prompt": True, "return_tokens": True}
    return [ask("/completion", {"prompt": ids[: end + 1], **greedy})["tokens"][0] for end in range(count)]


def main():
    path, count, *kind = sys.argv[1:]
    if kind:
        print(json.dumps(next_tokens(path, *kind, int(count))), flush=True)
        return
    f16, q8 = (
        json.loads(subprocess.check_output([sys.executable, __file__, path, count, kind], stderr=subprocess.DEVNULL))
        for kind in ("GGML_TYPE_F16", "GGML_TYPE_Q8_0")
    )
    print(f"the same token at {sum(a == b for a, b in zip(f16, q8)) / len(f16):.2%} of {len(f16)} positions")


main()
