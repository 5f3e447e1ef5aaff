"""Trains the byte-level BPE tokenizer on generated text: Qwen3's normaliser, pre-tokenizer and control tokens, a vocabulary of its own.

`python tokenizer.py` writes tokenizer.json. The pre-tokenizer splits every digit off, so no merge joins digits.
"""

import itertools
import re
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).parent
VOCABULARY = 1024
# Qwen3's added tokens in the order of its ids; the second list is not "special" there (it survives skip_special_tokens).
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>", "<|quad_start|>",
           "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
ORDINARY = ["<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>",
            "<tool_response>", "</tool_response>", "<think>", "</think>"]
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def train(texts):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)])
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    size = VOCABULARY - len(SPECIAL) - len(ORDINARY)
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in SPECIAL])
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=False) for t in ORDINARY])
    assert tokenizer.get_vocab_size() == VOCABULARY
    return tokenizer


def load():
    return Tokenizer.from_file(str(HERE / "tokenizer.json"))


if __name__ == "__main__":
    from generate import stream

    control = re.compile("|".join(map(re.escape, SPECIAL + ORDINARY)))
    examples = itertools.islice(stream(0), 30000)
    texts = (piece for example, rng in examples for piece in control.split("".join(example.parts(rng))) if piece)
    train(texts).save(str(HERE / "tokenizer.json"))
