#include "training/tokenizer.hpp"

#include <algorithm>
#include <numeric>

#include "base/text.hpp"
#include "training/data/added_tokens.hpp"
#include "training/data/bpe.hpp"
#include "training/data/json_files.hpp"
#include "training/data/split_pattern.hpp"
#include "training/errc.hpp"

namespace tequio::training {

/// Of `of_bytes`, `bpe` is that of 256 bytes without merges and nothing else is there.
struct tokenizer::tables {
    bpe_tables bpe;
    std::vector<split_pattern> patterns;
    std::array<added_tokens, 2> added;  ///< looked for one after the other
    bool ignore_merges = false;
    bool add_prefix_space = false;
    bool bytes_only = false;
    std::optional<std::uint32_t> end_of_text;
};

namespace {

constexpr std::size_t block_tokens = 65536;
constexpr std::array<std::string_view, 5> ends_of_text{
    "<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>",
    "<\xef\xbd\x9c"
    "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>"};

/// Length of the longest well-formed stretch at the start of `text`.
std::size_t valid_length(std::string_view text) {
    std::size_t length = 0;
    while (const auto next = base::utf8_length(text.substr(length))) length += next;
    return length;
}

std::optional<std::uint32_t> find_end_of_text(const bpe_tables& bpe) {
    for (const auto name : ends_of_text) {
        for (std::uint32_t id = 0; id < bpe.size(); ++id) {
            if (bpe.bytes_of(id) == name) return id;
        }
    }
    return std::nullopt;
}

}  // namespace

/// One text on its way to tokens, and what is kept between texts.
struct text_encoder::state {
    state(std::shared_ptr<const tokenizer::tables> t, std::size_t text_bytes)
        : keep_(std::move(t)), t_(*keep_), merger_(t_.bpe), cache_(text_bytes) {
        for (const auto& pattern : t_.patterns) runs_.emplace_back(pattern);
    }

    base::result<void> run(base::byte_view bytes, const token_block_sink& sink) {
        const auto text = base::as_text(bytes);
        sink_ = &sink;
        bytes_done_ = 0;
        tokens_.clear();
        std::size_t at = 0;
        bool starts = true;  // add_prefix_space: before a document, and after an added token
        while (at < text.size()) {
            const auto length = valid_length(text.substr(at));
            if (length != 0) TEQUIO_CHECK(cut_added(text.substr(at, length), 0, starts));
            starts = false;
            at += length;
            if (at == text.size()) break;
            tokens_.push_back(t_.bpe.byte_token(static_cast<unsigned char>(text[at])));
            TEQUIO_CHECK(done(1));
            ++at;
        }
        return flush();
    }

    /// Cuts the added tokens of `set` and of those after it out of `text`.
    base::result<void> cut_added(std::string_view text, std::size_t set, bool starts) {
        if (set == t_.added.size()) return start_split(text, starts);
        if (t_.added[set].empty()) return cut_added(text, set + 1, starts);
        std::size_t at = 0;
        while (at < text.size()) {
            const auto found = t_.added[set].find(text, at);
            const auto end = found.end == 0 ? text.size() : found.begin;
            if (end != at) TEQUIO_CHECK(cut_added(text.substr(at, end - at), set + 1, starts));
            if (found.end == 0) break;
            tokens_.push_back(found.token);
            TEQUIO_CHECK(done(found.end - found.begin));
            at = found.end;
            starts = true;
        }
        return {};
    }

    base::result<void> start_split(std::string_view text, bool starts) {
        if (!t_.add_prefix_space || !starts || text.starts_with(' ')) return split(text, 0);
        TEQUIO_CHECK(split(' ' + std::string(text), 0));
        --bytes_done_;
        return {};
    }

    /// Splits by pattern `level` and those after it; what lies between matches is a piece too.
    base::result<void> split(std::string_view text, std::size_t level) {
        if (level == runs_.size()) return take(text);
        std::size_t at = 0;
        while (at < text.size()) {
            TEQUIO_TRY(const auto found, runs_[level].find(text, at));
            const auto end = found.end == found.begin ? text.size() : found.begin;
            if (end != at) TEQUIO_CHECK(split(text.substr(at, end - at), level + 1));
            if (end == text.size()) break;
            TEQUIO_CHECK(split(text.substr(found.begin, found.end - found.begin), level + 1));
            at = found.end;
        }
        return {};
    }

    base::result<void> take(std::string_view piece) {
        if (piece.size() > tokenizer_piece_max_bytes) {
            return fail(errc::bad_data, "found " + std::to_string(piece.size()) +
                                            " bytes of text without a break, allowed: at most " +
                                            std::to_string(tokenizer_piece_max_bytes));
        }
        const auto known = cache_.find(piece);
        if (!known.empty()) {
            tokens_.insert(tokens_.end(), known.begin(), known.end());
            return done(piece.size());
        }
        const auto before = tokens_.size();
        const auto whole = t_.ignore_merges ? t_.bpe.find(piece) : std::optional<std::uint32_t>();
        if (whole) {
            tokens_.push_back(*whole);
        } else {
            merger_.merge(piece, tokens_);
        }
        cache_.keep(piece, std::span(tokens_).subspan(before));
        return done(piece.size());
    }

    base::result<void> done(std::size_t bytes) {
        bytes_done_ += bytes;
        if (tokens_.size() < block_tokens) return {};
        return flush();
    }

    base::result<void> flush() {
        auto rest = std::span<const std::uint32_t>(tokens_);
        while (!rest.empty()) {
            const auto block = rest.first(std::min(rest.size(), block_tokens));
            rest = rest.subspan(block.size());
            if (!(*sink_)(block, bytes_done_))
                return fail(errc::stopped, "stopped while tokenising");
        }
        tokens_.clear();
        return {};
    }

    std::shared_ptr<const tokenizer::tables> keep_;
    const tokenizer::tables& t_;
    bpe_merger merger_;
    piece_cache cache_;
    std::vector<split_run> runs_;
    const token_block_sink* sink_ = nullptr;
    std::vector<std::uint32_t> tokens_;  ///< not handed on yet
    std::uint64_t bytes_done_ = 0;
};

namespace {

/// Bytes as tokens, with nothing in between.
base::result<void> encode_bytes(base::byte_view text, const token_block_sink& sink) {
    std::vector<std::uint32_t> block;
    for (std::size_t at = 0; at < text.size();) {
        const auto n = std::min(text.size() - at, block_tokens);
        block.assign(text.begin() + static_cast<long>(at),
                     text.begin() + static_cast<long>(at + n));
        at += n;
        if (!sink(block, at)) return fail(errc::stopped, "stopped while tokenising");
    }
    return {};
}

}  // namespace

tokenizer tokenizer::of_bytes() {
    bpe_description description;
    for (std::uint32_t b = 0; b < 256; ++b) {
        const char byte = static_cast<char>(b);
        description.vocabulary.emplace_back(spelling_of_bytes({&byte, 1}), b);
    }
    tables made;
    made.bpe = bpe_tables::make(description).value();
    made.bytes_only = true;
    return tokenizer(std::make_shared<const tables>(std::move(made)));
}

base::result<tokenizer> tokenizer::from_json(base::byte_view json, std::string_view file_name) {
    const auto make = [&]() -> base::result<tokenizer> {
        TEQUIO_TRY(const auto description, parse_tokenizer_json(json));
        tables made;
        TEQUIO_TRY(made.bpe, bpe_tables::make(description));
        TEQUIO_TRY(made.added[0], added_tokens::make(description.added, false));
        TEQUIO_TRY(made.added[1], added_tokens::make(description.added, true));
        for (const auto& text : description.patterns) {
            auto pattern = split_pattern::compile(text);
            if (!pattern) return pattern.error().at("pre_tokenizer pattern");
            made.patterns.push_back(std::move(*pattern));
        }
        made.ignore_merges = description.ignore_merges;
        made.add_prefix_space = description.add_prefix_space;
        made.end_of_text = find_end_of_text(made.bpe);
        return tokenizer(std::make_shared<const tables>(std::move(made)));
    };
    auto out = make();
    if (!out) return out.error().at(file_name);
    return out;
}

std::uint64_t tokenizer::vocabulary() const {
    return tables_->bpe.size();
}

bool tokenizer::is_bytes() const {
    return tables_->bytes_only;
}

std::optional<std::uint32_t> tokenizer::end_of_text() const {
    return tables_->end_of_text;
}

base::result<void> tokenizer::encode(base::byte_view text, const token_block_sink& sink) const {
    return text_encoder(*this, text.size()).encode(text, sink);
}

text_encoder::text_encoder(const tokenizer& words, std::uint64_t text_bytes)
    : state_(std::make_unique<state>(words.tables_, text_bytes)) {}

text_encoder::text_encoder(text_encoder&&) noexcept = default;
text_encoder::~text_encoder() = default;

base::result<void> text_encoder::encode(base::byte_view text, const token_block_sink& sink) {
    if (state_->t_.bytes_only) return encode_bytes(text, sink);
    return state_->run(text, sink);
}

base::result<std::vector<std::uint32_t>> tokenizer::encode(base::byte_view text) const {
    std::vector<std::uint32_t> out;
    TEQUIO_CHECK(encode(text, [&](std::span<const std::uint32_t> block, std::uint64_t) {
        out.insert(out.end(), block.begin(), block.end());
        return true;
    }));
    return out;
}

base::byte_view tokenizer::bytes_of(std::uint32_t token) const {
    if (token >= tables_->bpe.size()) return {};
    return base::as_bytes(tables_->bpe.bytes_of(token));
}

base::byte_vector tokenizer::decode(std::span<const std::uint32_t> tokens) const {
    base::byte_vector out;
    for (const auto token : tokens) {
        const auto bytes = bytes_of(token);
        out.insert(out.end(), bytes.begin(), bytes.end());
    }
    return out;
}

}  // namespace tequio::training
