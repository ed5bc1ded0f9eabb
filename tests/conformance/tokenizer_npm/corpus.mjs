// 10 MB of mixed text, the same on every run of one Node version: prose and code that the packages
// ship, words of many scripts from Node's own language data, emoji, every character, white space of
// all kinds, and bytes that are no UTF-8.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

// xorshift32: a fixed sequence.
export function random(seed) {
    let x = seed >>> 0 || 1;
    return (bound) => {
        x ^= x << 13; x >>>= 0;
        x ^= x >>> 17;
        x ^= x << 5; x >>>= 0;
        return x % bound;
    };
}

function* files(folder) {
    for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
        const path = join(folder, entry.name);
        if (entry.isDirectory()) yield* files(path);
        else if (/\.(md|ts|cjs|mjs|js)$/.test(entry.name)) yield path;
    }
}

// Texts of the packages, each file at most 200 kB, to the size asked for.
function shipped(modules, size) {
    const parts = [];
    let total = 0;
    for (const path of files(modules)) {
        if (total >= size) break;
        const bytes = readFileSync(path).subarray(0, 200000);
        const text = new TextDecoder().decode(bytes).replaceAll("\ufffd", "");
        parts.push(text);
        total += bytes.length;
    }
    return parts.join("\n\n");
}

// Names of languages, regions and currencies in the languages themselves: words of their scripts.
function words() {
    const languages = ["ar", "bg", "bn", "cs", "de", "el", "es", "fa", "fi", "fr", "he", "hi", "hu", "hy", "id", "it",
        "ja", "ka", "km", "ko", "lo", "ml", "mn", "my", "ne", "pl", "pt", "ru", "ta", "te", "th", "tr", "uk", "ur",
        "vi", "yue", "zh", "zh-Hant"];
    const codes = { language: languages, region: [], currency: ["USD", "EUR", "JPY", "CNY", "INR", "MXN", "RUB", "BRL"] };
    for (let a = 65; a < 91; ++a) {
        for (let b = 65; b < 91; ++b) codes.region.push(String.fromCharCode(a, b));
    }
    const out = {};
    for (const locale of languages) {
        out[locale] = [];
        for (const [type, list] of Object.entries(codes)) {
            const names = new Intl.DisplayNames([locale], { type, fallback: "none" });
            for (const code of list) {
                const name = names.of(code);
                if (name) out[locale].push(name);
            }
        }
    }
    return out;
}

const emoji = ["😀", "🤝", "🌱", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇲🇽", "1️⃣", "❤️", "🫠", "☃", "✈️", "🧑🏿‍🚀"];
const spaces = [" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n\n", " \n ", "\u00a0", "\u2003", "\u3000", "\u2028", "\v\f"];
const endings = [".", ",", "!", "?", ";", ":", "...", "。", "、", "！", "»", ")", "'s", "'LL", "n't", "'ve", "--", "___"];

function sentences(draw, size) {
    const known = words();
    const locales = Object.keys(known);
    const parts = [];
    for (let length = 0; length < size;) {
        const list = known[locales[draw(locales.length)]];
        const spaced = draw(4) !== 0;
        for (let n = 3 + draw(20); n > 0; --n) {
            let part = list[draw(list.length)];
            const what = draw(24);
            if (what === 0) part = emoji[draw(emoji.length)].repeat(1 + draw(3));
            if (what === 1) part = String(draw(2 ** 31) * (1 + draw(1000)));
            if (what === 2) part = part.toUpperCase();
            if (what === 3) part = part.normalize("NFD");
            if (draw(6) === 0) part += endings[draw(endings.length)];
            part += draw(12) === 0 ? spaces[draw(spaces.length)] : spaced ? " " : "";
            parts.push(part);
            length += part.length;
        }
        parts.push(spaces[draw(spaces.length)]);
    }
    return parts.join("");
}

// Characters on whose class the Unicode tables of the programs may differ are left to the listing.
export function characters(draw, allowed, count) {
    const parts = [];
    while (parts.length < count) {
        const c = draw(4) === 0 ? draw(0x800) : draw(3) === 0 ? draw(0x110000) : draw(0x10000);
        if ((c >= 0xd800 && c < 0xe000) || !allowed(c)) continue;
        parts.push(String.fromCodePoint(c).repeat(draw(10) === 0 ? 1 + draw(5) : 1));
        if (draw(4) === 0) parts.push(" ");
    }
    return parts.join("");
}

// The corpus as bytes. One byte in about 300 of a third of it is replaced by chance.
export function corpus(modules, allowed, size) {
    const draw = random(20240801);
    const keep = (text) => Array.from(text).filter((c) => allowed(c.codePointAt(0))).join("");
    const parts = [
        shipped(modules, 0.4 * size),
        sentences(draw, 0.12 * size),
        characters(draw, allowed, 0.05 * size),
        "a".repeat(50000), " ".repeat(50000), "x", "\n".repeat(20000), "9".repeat(20000), "=".repeat(20000), "字".repeat(20000),
        sentences(draw, 0.12 * size),
    ];
    let bytes = Buffer.concat(parts.map((p) => Buffer.from(keep(p.toWellFormed()))));
    while (bytes.length < size) bytes = Buffer.concat([bytes, bytes.subarray(0, size - bytes.length)]);
    const broken = Buffer.from(bytes.subarray(0, size));
    for (let at = Math.floor(size / 3); at < (2 * size) / 3; at += 1 + draw(600)) broken[at] = draw(256);
    return broken;
}
