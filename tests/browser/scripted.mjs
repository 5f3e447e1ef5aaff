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
 * ever. In non-thinking mode it says the answer alone. `turns` holds other answers, each for when the text so far has the character
 * `after`: a tool's result, a question; the last that fits counts. Tags among the words are the tokens of that name. `unused` adds
 * that many tokens, of 1 kB each, to make the file larger: half of each is noise, so that a database cannot make it small. An endless
 * thinking never goes in circles word for word: its last word comes once more as often as it goes on with the first. `width` adds that
 * many units of 1.5 kB to the feed-forward layer, which say nothing: two thirds of each are noise. `template` is the chat template in
 * the file.
 */
export function scriptedModel({ thinking, answer, turns = [], endless, context = 512, unused = 0, width = 0, template }) {
  const alphabet = byteAlphabet();
  const spell = (text) => [...new TextEncoder().encode(text)].map((byte) => alphabet[byte]).join('');
  const newline = spell('\n');
  const chains = [{ words: answer.map(spell) }, ...turns.map(({ after, answer: words }) => ({ words: words.map(spell), marker: spell(after).at(-1) }))];
  const words = [...new Set([...thinking.map(spell), ...chains.flatMap((chain) => chain.words)])].filter((word) => !SPECIAL.includes(word) && !alphabet.includes(word));
  const tokens = [...alphabet, newline + newline, ...words, ...SPECIAL, ...Array.from({ length: unused }, (_, index) => `unused${index}`)];
  const id = (token) => tokens.lastIndexOf(token);

  const steps = follow([newline, '<think>', ...thinking.map(spell), endless === 'thinking' ? spell(thinking[0]) : '</think>']);
  if (endless === 'thinking') steps.push({ ...steps.pop(), or: spell(thinking.at(-1)) });
  for (const { words: chain, marker } of chains) {
    // The template's empty thinking block, and a thinking that was cut short, end with an empty line.
    for (const from of ['</think>', newline + newline]) steps.push({ from, to: chain[0], given: marker });
    const shared = (word) => chains.filter((other) => other.words.includes(word)).length > 1;
    const own = follow([...chain, endless === 'answer' ? chain[0] : '<|im_end|>']);
    steps.push(...own.map((step) => ({ ...step, given: step.given ?? (shared(step.from) ? marker : undefined) })));
  }
  const { embedding, layer, head } = network(steps, tokens, id);
  // A linear congruential generator (Numerical Recipes, §7.1): the same noise every time.
  let state = 1;
  const noise = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  for (let place = embedding.length - unused * HIDDEN; place < embedding.length; place += 1) embedding[place] = noise();
  const units = HIDDEN + width;
  /** Rows of units, and one more for each that is added. */
  const widened = (rows, fill) => {
    const wide = new Float32Array(units * HIDDEN);
    wide.set(rows);
    for (let place = rows.length; place < wide.length; place += 1) wide[place] = fill();
    return wide;
  };
  /** The same of columns, of which the engine wants rows. */
  const lengthened = (rows) => {
    const long = new Float32Array(units * HIDDEN);
    for (let row = 0; row < HIDDEN; row += 1) {
      long.set(rows.subarray(row * HIDDEN, (row + 1) * HIDDEN), row * units);
      for (let unit = HIDDEN; unit < units; unit += 1) long[row * units + unit] = noise();
    }
    return long;
  };
  const zeros = (...shape) => ({ shape, data: new Float32Array(shape.reduce((a, b) => a * b)) });
  const ones = (size) => ({ shape: [size], data: new Float32Array(size).fill(1) });
  return gguf({
    'general.architecture': 'qwen3',
    'general.name': 'scripted',
    'qwen3.block_count': uint32(1),
    'qwen3.context_length': uint32(context),
    'qwen3.embedding_length': uint32(HIDDEN),
    'qwen3.feed_forward_length': uint32(units),
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
    ...(template === undefined ? {} : { 'tokenizer.chat_template': template }),
  }, {
    'token_embd.weight': { shape: [HIDDEN, tokens.length], data: embedding },
    'blk.0.attn_norm.weight': ones(HIDDEN),
    'blk.0.attn_q.weight': zeros(HIDDEN, 2 * HEAD_DIM),
    'blk.0.attn_k.weight': zeros(HIDDEN, HEAD_DIM),
    'blk.0.attn_v.weight': { shape: [HIDDEN, HEAD_DIM], data: layer.value },
    'blk.0.attn_q_norm.weight': ones(HEAD_DIM),
    'blk.0.attn_k_norm.weight': ones(HEAD_DIM),
    'blk.0.attn_output.weight': { shape: [2 * HEAD_DIM, HIDDEN], data: layer.output },
    'blk.0.ffn_norm.weight': ones(HIDDEN),
    'blk.0.ffn_gate.weight': { shape: [HIDDEN, units], data: widened(layer.gate, noise) },
    'blk.0.ffn_up.weight': { shape: [HIDDEN, units], data: widened(layer.up, () => 0) },
    'blk.0.ffn_down.weight': { shape: [units, HIDDEN], data: lengthened(layer.down) },
    'output_norm.weight': ones(HIDDEN),
    'output.weight': { shape: [HIDDEN, tokens.length], data: head },
  });
}

/**
 * The steps of a chain of words. A word that comes again goes on differently: then the last word before it that comes once only
 * tells where in the chain it is.
 */
function follow(chain) {
  const once = (word) => chain.indexOf(word) === chain.lastIndexOf(word);
  return chain.slice(1).map((to, index) => {
    const again = chain.indexOf(chain[index]) < index;
    return { from: chain[index], to, given: again ? chain.slice(0, index).findLast(once) : undefined };
  });
}

/**
 * Weights by which `to` follows `from`, or does so where the token `given` has come before; of several such steps the last counts.
 * Each token that matters has a dimension of the hidden state. Attention, the same for all positions, takes the share of each `given`
 * token in the text to a dimension of its own; a unit of the feed-forward layer multiplies it with `from` for each conditional step.
 */
function network(steps, tokens, id) {
  const matters = [...new Set(steps.flatMap(({ from, given }) => (given === undefined ? [from] : [from, given])))];
  const flags = [...new Set(steps.flatMap(({ given }) => given ?? []))];
  const conditional = steps.filter(({ given }) => given !== undefined);
  const free = steps.filter(({ given }) => given === undefined);
  if (new Set(free.map(({ from }) => from)).size !== free.length) throw new Error('the script repeats a word');
  if (matters.length + flags.length + conditional.length > HIDDEN || flags.length > HEAD_DIM) throw new Error('the script is too long');

  const tokenDimension = (token) => matters.indexOf(token);
  const flagDimension = (token) => matters.length + flags.indexOf(token);
  const stepDimension = (step) => matters.length + flags.length + conditional.indexOf(step);
  const square = () => new Float32Array(HIDDEN * HIDDEN);
  const embedding = new Float32Array(tokens.length * HIDDEN);
  const head = new Float32Array(tokens.length * HIDDEN);
  const layer = { value: new Float32Array(HIDDEN * HEAD_DIM), output: new Float32Array(2 * HEAD_DIM * HIDDEN), gate: square(), up: square(), down: square() };
  for (const token of matters) embedding[id(token) * HIDDEN + tokenDimension(token)] = 1;
  for (const [index, flag] of flags.entries()) {
    // A normalised one-hot vector is √HIDDEN ≈ 11 at its place: one among a hundred tokens makes a flag of 0.5.
    layer.value[index * HIDDEN + tokenDimension(flag)] = 4.4;
    layer.output[flagDimension(flag) * 2 * HEAD_DIM + index] = 1;
  }
  for (const [unit, step] of conditional.entries()) {
    layer.gate[unit * HIDDEN + tokenDimension(step.from)] = 10;
    layer.up[unit * HIDDEN + flagDimension(step.given)] = 1;
    // A later step outdoes all before it, whatever the shares of their flags are.
    layer.down[stepDimension(step) * HIDDEN + unit] = 30 ** (1 + conditional.filter(({ from }, other) => other < unit && from === step.from).length);
    head[id(step.to) * HIDDEN + stepDimension(step)] = 5;
  }
  // The logit stands 55 above all others.
  for (const { from, to, or } of free) for (const next of [to, or ?? to]) head[id(next) * HIDDEN + tokenDimension(from)] = 5;
  return { embedding, layer, head };
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

/** The text of a tool call, between its tags. */
export function call(name, args) {
  return `\n${JSON.stringify({ name, arguments: args })}\n`;
}
