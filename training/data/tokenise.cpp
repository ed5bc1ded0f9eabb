#include <algorithm>
#include <cmath>

#include "training/data/json_files.hpp"
#include "training/data/token_files.hpp"
#include "training/dataset.hpp"
#include "training/errc.hpp"
#include "training/round/lines.hpp"

namespace tequio::training {
namespace {

constexpr std::string_view file_separator = "\n";

/// Says how much text is needed, in the words of a submitter.
base::error too_short(const char* part, std::uint64_t have, std::uint64_t context,
                      const char* advice) {
    return fail(errc::bad_data, std::string("data: the ") + part + " part has " +
                                    std::to_string(have) + " tokens and needs at least " +
                                    std::to_string(context + 1) + " (context + 1): " + advice);
}

base::error stopped() {
    return fail(errc::stopped, "stopped while reading the data");
}

std::uint32_t token_bytes_for(std::uint64_t vocabulary) {
    return vocabulary <= 0x100 ? 1 : vocabulary <= 0x10000 ? 2 : 4;
}

/// Gathers the tokens of all files.
class token_gatherer {
public:
    token_gatherer(std::span<const source_file> files, const tokenise_options& o)
        : o_(o), files_(files), size_(size_of(files)), encoder_(o.words, size_) {
        vocabulary_ = std::max(o.vocabulary, o.words.vocabulary());
    }

    base::result<void> run(std::span<const file_kind> kinds) {
        TEQUIO_CHECK(check(kinds));
        width_ = token_bytes_for(vocabulary_);
        // One byte a token is known to be as long as the text; everything else grows.
        if (o_.words.is_bytes() && width_ == 1 && kinds[0] != file_kind::tokens) {
            out_.reserve(size_ + files_.size() - 1);
        }
        for (std::size_t i = 0; i < files_.size(); ++i) {
            auto done = add(files_[i], kinds[i]);
            if (!done) return done;
            bytes_before_ += files_[i].bytes.size();
            bytes_in_file_ = 0;
            if (o_.progress && !o_.progress(bytes_before_, size_)) return stopped();
        }
        return {};
    }

    /// Divides what was gathered and names it.
    base::result<tokenised_data> finish() {
        const std::uint64_t count = out_.size() / width_;
        const auto validation = static_cast<std::uint64_t>(
            std::floor(o_.validation_share * static_cast<double>(count)));
        if (count - validation < o_.context + 1) {
            return too_short("training", count - validation, o_.context,
                             "add text or lower context");
        }
        if (o_.validation_share > 0 && validation < o_.context + 1) {
            return too_short("validation", validation, o_.context,
                             "add text, raise data.validation, lower context, or set "
                             "data.validation = 0 for none");
        }
        tokenised_data made;
        made.config = {base::blob_ref_of(out_), width_, count, validation};
        made.tokens = std::move(out_);
        made.vocabulary = vocabulary_;
        return made;
    }

private:
    static std::uint64_t size_of(std::span<const source_file> files) {
        std::uint64_t size = 0;
        for (const auto& file : files) size += file.bytes.size();
        return size;
    }

    base::result<void> check(std::span<const file_kind> kinds) {
        if (files_.empty()) return fail(errc::bad_data, "data: no file, so no text to train on");
        const bool tokens = kinds[0] == file_kind::tokens;
        for (std::size_t i = 0; i < files_.size(); ++i) {
            if (files_[i].bytes.empty()) {
                return fail(errc::bad_data, "data: " + quoted(files_[i].name) + " is empty");
            }
            const bool readable = !holds_examples(kinds[i]);
            if (!readable || tokens != (kinds[i] == file_kind::tokens)) {
                return fail(errc::bad_data, "data: " + quoted(files_[i].name) + " holds " +
                                                std::string(file_kind_name(kinds[i])) + " and " +
                                                quoted(files_[0].name) + " " +
                                                std::string(file_kind_name(kinds[0])) +
                                                ": one job trains on one kind");
            }
        }
        if (size_ > base::blob_size_max_bytes) {
            return fail(errc::bad_data, "data: " + std::to_string(size_) + " bytes; at most " +
                                            std::to_string(base::blob_size_max_bytes));
        }
        if (!(o_.validation_share >= 0 && o_.validation_share < 1)) {  // NaN is neither
            return fail(errc::bad_data, "data: the validation share is from 0 to below 1");
        }
        return check_vocabulary(tokens);
    }

    base::result<void> check_vocabulary(bool tokens) {
        if (tokens && o_.words.is_bytes()) {
            if (o_.vocabulary == 0) {
                return fail(errc::bad_data,
                            "data.vocabulary: found nothing, allowed: the number of tokens that "
                            "the tokenizer of the token files has, or data.tokenizer = its "
                            "tokenizer.json");
            }
            vocabulary_ = o_.vocabulary;
        } else if (o_.vocabulary != 0 && o_.vocabulary < o_.words.vocabulary()) {
            return fail(errc::bad_data, "data.vocabulary: found " + std::to_string(o_.vocabulary) +
                                            ", allowed: at least the tokenizer's " +
                                            std::to_string(o_.words.vocabulary()));
        }
        return {};
    }

    base::result<void> add(const source_file& file, file_kind kind) {
        if (kind == file_kind::tokens) {
            auto done = add_tokens(file.bytes);
            return done ? std::move(done) : done.error().at(file.name);
        }
        if (kind == file_kind::text) return add_document(base::as_text(file.bytes), file.name);
        const auto documents = documents_;
        TEQUIO_CHECK(read_jsonl(file.name, file.bytes, [&](std::string_view text) {
            return add_document(text, file.name);
        }));
        if (documents_ != documents) return {};
        return fail(errc::bad_data, "data: " + quoted(file.name) + " has no document with text");
    }

    base::result<void> add_document(std::string_view text, const std::string& name) {
        if (documents_++ != 0) {
            if (const auto end = o_.words.end_of_text()) {
                put(*end);
            } else {
                TEQUIO_CHECK(encode(file_separator));
            }
        }
        auto done = encode(text);
        if (!done && !done.error().is(errc::stopped)) return done.error().at(name);
        bytes_in_file_ += text.size();
        return done;
    }

    base::result<void> encode(std::string_view text) {
        return encoder_.encode(base::as_bytes(text), [&](auto block, std::uint64_t done) {
            for (const auto token : block) put(token);
            const auto all_done = bytes_before_ + bytes_in_file_ + done;
            return !o_.progress || o_.progress(std::min(all_done, size_), size_);
        });
    }

    base::result<void> add_tokens(base::byte_view bytes) {
        TEQUIO_TRY(const auto file, open_token_file(bytes));
        for (std::uint64_t i = 0; i < file.count(); ++i) {
            const auto token = file.at(i);
            if (token >= vocabulary_) {
                return fail(errc::bad_data, "token " + std::to_string(i) + " is " +
                                                std::to_string(token) + ", the vocabulary has " +
                                                std::to_string(vocabulary_));
            }
            put(token);
        }
        return {};
    }

    void put(std::uint32_t token) {
        for (std::uint32_t i = 0; i < width_; ++i) {
            out_.push_back(static_cast<std::uint8_t>(token >> (8 * i)));
        }
    }

    const tokenise_options& o_;
    std::span<const source_file> files_;
    std::uint64_t size_;
    text_encoder encoder_;
    std::uint64_t vocabulary_ = 0;
    std::uint32_t width_ = 1;
    std::uint64_t documents_ = 0;
    std::uint64_t bytes_before_ = 0;   ///< of the files done
    std::uint64_t bytes_in_file_ = 0;  ///< of the documents done in the present one
    base::byte_vector out_;
};

base::result<tokenised_data> tokenise_as(std::span<const source_file> files,
                                         std::span<const file_kind> kinds,
                                         const tokenise_options& options) {
    token_gatherer gatherer(files, options);
    TEQUIO_CHECK(gatherer.run(kinds));
    return gatherer.finish();
}

}  // namespace

file_kind file_kind_of(std::string_view name) {
    if (name.ends_with(".jsonl")) return file_kind::jsonl;
    if (name.ends_with(".bin")) return file_kind::tokens;
    if (name.ends_with(".csv")) return file_kind::csv;
    if (name.ends_with(".idx") || name.ends_with("-ubyte")) return file_kind::idx;
    return file_kind::text;
}

std::string_view file_kind_name(file_kind kind) {
    switch (kind) {
        case file_kind::text:
            return "text";
        case file_kind::jsonl:
            return "JSONL";
        case file_kind::tokens:
            return "tokens";
        case file_kind::idx:
            return "idx";
        case file_kind::csv:
            return "CSV";
    }
    return "nothing";
}

base::result<tokenised_data> tokenise(std::span<const source_file> files,
                                      const tokenise_options& options) {
    std::vector<file_kind> kinds;
    for (const auto& file : files) kinds.push_back(file_kind_of(file.name));
    return tokenise_as(files, kinds, options);
}

base::result<tokenised_data> tokenise_bytes(std::span<const source_file> files,
                                            double validation_share, std::uint64_t context) {
    const std::vector<file_kind> kinds(files.size(), file_kind::text);
    tokenise_options options;
    options.validation_share = validation_share;
    options.context = context;
    return tokenise_as(files, kinds, options);
}

}  // namespace tequio::training
