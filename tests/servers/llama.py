"""Serves a GGUF by llama.cpp's own HTTP server, as the wheel `xllamacpp` ships it: `llama.py GGUF CHAT_TEMPLATE`; prints its address."""

import pathlib
import signal
import sys

import xllamacpp

gguf, template = sys.argv[1:]
params = xllamacpp.CommonParams()
params.model.path = gguf
params.model_alias = {"served"}
params.port = 0
params.n_ctx = 0
params.n_parallel = 1
params.warmup = False
params.use_jinja = True
params.chat_template = pathlib.Path(template).read_text(encoding="utf-8")
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
signal.pause()
