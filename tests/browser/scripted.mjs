// A real GGUF whose model says exactly what a test wants: its layers add nothing, and its head is a table "after this token, that one".

const HIDDEN = 128;
const HEAD_DIM = 64;
const SPECIAL = ['<|endoftext|>', '<|im_start|>', '<|im_end|>', '<think>', '</think>', '<tool_call>', '</tool_call>'];
/** Types of tokens in GGUF. */
const NORMAL = 1;
const CONTROL = 3;
const USER_DEFINED = 4;
const F32 = 0;

/** The character by which byte-level BPE spells each byte (GPT-2, https://github.com/openai/gpt-2/blob/master/src/encoder.py). */
function byteAlphabet() {
  const printable = (byte) => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

/**
 * The bytes of a model that thinks the words of `thinking`, then says those of `answer`; the `endless` one of the two begins anew for
 * ever. In non-thinking mode it says the answer alone. No word may occur twice: the model remembers one token. `unused` adds that many
 * tokens, of 1 kB each, to make the file larger: half of each is noise, so that a database cannot make it small.
 */
export function scriptedModel({ thinking, answer, endless, context = 512, unused = 0 }) {
  const alphabet = byteAlphabet();
  const spell = (text) => [...new TextEncoder().encode(text)].map((byte) => alphabet[byte]).join('');
  const newline = spell('\n');
  const words = [...thinking, ...answer].map(spell);
  const tokens = [...alphabet, newline + newline, ...words, ...SPECIAL, ...Array.from({ length: unused }, (_, index) => `unused${index}`)];
  const id = (token) => tokens.lastIndexOf(token);

  const follow = (chain) => chain.slice(1).map((token, index) => [chain[index], token]);
  const steps = [
    ...follow([newline, '<think>', ...thinking.map(spell), endless === 'thinking' ? spell(thinking[0]) : '</think>']),
    ['</think>', spell(answer[0])],
    // The template's empty thinking block, and a thinking that was cut short, end with an empty line.
    [newline + newline, spell(answer[0])],
    ...follow([...answer.map(spell), endless === 'answer' ? spell(answer[0]) : '<|im_end|>']),
  ];
  if (new Set(steps.map(([from]) => from)).size !== steps.length || steps.length > HIDDEN) throw new Error('the script repeats a word, or is too long');

  const embedding = new Float32Array(tokens.length * HIDDEN);
  const head = new Float32Array(tokens.length * HIDDEN);
  for (const [place, [from, to]] of steps.entries()) {
    embedding[id(from) * HIDDEN + place] = 1;
    // A normalised one-hot vector is √HIDDEN ≈ 11 at its place: the logit stands 55 above all others.
    head[id(to) * HIDDEN + place] = 5;
  }
  // A linear congruential generator (Numerical Recipes, §7.1): the same noise every time.
  let noise = 1;
  for (let place = embedding.length - unused * HIDDEN; place < embedding.length; place += 1) {
    noise = (Math.imul(noise, 1664525) + 1013904223) >>> 0;
    embedding[place] = noise / 2 ** 32;
  }
  const zeros = (...shape) => ({ shape, data: new Float32Array(shape.reduce((a, b) => a * b)) });
  const ones = (size) => ({ shape: [size], data: new Float32Array(size).fill(1) });
  return gguf({
    'general.architecture': 'qwen3',
    'general.name': 'scripted',
    'qwen3.block_count': uint32(1),
    'qwen3.context_length': uint32(context),
    'qwen3.embedding_length': uint32(HIDDEN),
    'qwen3.feed_forward_length': uint32(HIDDEN),
    'qwen3.attention.head_count': uint32(2),
    'qwen3.attention.head_count_kv': uint32(1),
    'qwen3.attention.key_length': uint32(HEAD_DIM),
    'qwen3.attention.value_length': uint32(HEAD_DIM),
    'qwen3.attention.layer_norm_rms_epsilon': float32(1e-6),
    'qwen3.rope.freq_base': float32(1e6),
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': 'qwen2',
    'tokenizer.ggml.tokens': tokens,
    'tokenizer.ggml.token_type': int32s(tokens.map((token) => (!SPECIAL.includes(token) ? NORMAL : token.startsWith('<|') ? CONTROL : USER_DEFINED))),
    'tokenizer.ggml.merges': [`${newline} ${newline}`],
    'tokenizer.ggml.eos_token_id': uint32(id('<|im_end|>')),
  }, {
    'token_embd.weight': { shape: [HIDDEN, tokens.length], data: embedding },
    'blk.0.attn_norm.weight': ones(HIDDEN),
    'blk.0.attn_q.weight': zeros(HIDDEN, 2 * HEAD_DIM),
    'blk.0.attn_k.weight': zeros(HIDDEN, HEAD_DIM),
    'blk.0.attn_v.weight': zeros(HIDDEN, HEAD_DIM),
    'blk.0.attn_q_norm.weight': ones(HEAD_DIM),
    'blk.0.attn_k_norm.weight': ones(HEAD_DIM),
    'blk.0.attn_output.weight': zeros(2 * HEAD_DIM, HIDDEN),
    'blk.0.ffn_norm.weight': ones(HIDDEN),
    'blk.0.ffn_gate.weight': zeros(HIDDEN, HIDDEN),
    'blk.0.ffn_up.weight': zeros(HIDDEN, HIDDEN),
    'blk.0.ffn_down.weight': zeros(HIDDEN, HIDDEN),
    'output_norm.weight': ones(HIDDEN),
    'output.weight': { shape: [HIDDEN, tokens.length], data: head },
  });
}

const uint32 = (value) => ({ type: 4, bytes: littleEndian(4, (view) => view.setUint32(0, value, true)) });
const float32 = (value) => ({ type: 6, bytes: littleEndian(4, (view) => view.setFloat32(0, value, true)) });
const uint64 = (value) => littleEndian(8, (view) => view.setBigUint64(0, BigInt(value), true));
const int32s = (values) => ({ type: 9, bytes: Buffer.concat([uint32(5).bytes, uint64(values.length), ...values.map((value) => uint32(value).bytes)]) });

function littleEndian(size, write) {
  const bytes = Buffer.alloc(size);
  write(new DataView(bytes.buffer, bytes.byteOffset, size));
  return bytes;
}

function string(text) {
  const bytes = Buffer.from(text);
  return Buffer.concat([uint64(bytes.length), bytes]);
}

function value(data) {
  if (typeof data === 'string') return { type: 8, bytes: string(data) };
  if (Array.isArray(data)) return { type: 9, bytes: Buffer.concat([uint32(8).bytes, uint64(data.length), ...data.map(string)]) };
  return data;
}

/** A GGUF version 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md) of F32 tensors; shapes are innermost first. */
export function gguf(metadata, tensors) {
  const fields = Object.entries(metadata).map(([key, data]) => {
    const { type, bytes } = value(data);
    return Buffer.concat([string(key), uint32(type).bytes, bytes]);
  });
  const padded = (size) => Math.ceil(size / 32) * 32;
  let offset = 0;
  const infos = Object.entries(tensors).map(([name, { shape, data, at }]) => {
    const info = Buffer.concat([string(name), uint32(shape.length).bytes, ...shape.map(uint64), uint32(F32).bytes, uint64(at ?? offset)]);
    offset += padded(data.byteLength);
    return info;
  });
  const header = Buffer.concat([Buffer.from('GGUF'), uint32(3).bytes, uint64(infos.length), uint64(fields.length), ...fields, ...infos]);
  const body = Object.values(tensors).flatMap(({ data }) => [
    Buffer.from(data.buffer, data.byteOffset, data.byteLength), Buffer.alloc(padded(data.byteLength) - data.byteLength),
  ]);
  return Buffer.concat([header, Buffer.alloc(padded(header.length) - header.length), ...body]);
}
