#include "training/dataset.hpp"

#include <algorithm>
#include <cmath>

#include "base/ensure.hpp"
#include "training/errc.hpp"
#include "training/numerics/philox.hpp"
#include "training/round/lines.hpp"

namespace tequio::training {
namespace {

constexpr std::uint8_t file_separator = '\n';

std::uint32_t token_at(base::byte_view tokens, std::uint32_t token_bytes, std::uint64_t index) {
    const auto* p = tokens.data() + index * token_bytes;
    std::uint32_t token = 0;
    for (std::uint32_t i = 0; i < token_bytes; ++i) token |= std::uint32_t{p[i]} << (8 * i);
    return token;
}

/// Says how much text is needed, in the words of a submitter.
base::error too_short(const char* part, std::uint64_t have, std::uint64_t context,
                      const char* advice) {
    return fail(errc::bad_data, std::string("data: the ") + part + " part has " +
                                    std::to_string(have) + " tokens and needs at least " +
                                    std::to_string(context + 1) + " (context + 1): " + advice);
}

}  // namespace

base::result<tokenised_data> tokenise_bytes(std::span<const source_file> files,
                                            double validation_share, std::uint64_t context) {
    if (files.empty()) return fail(errc::bad_data, "data: no file, so no text to train on");
    std::uint64_t size = files.size() - 1;
    for (const auto& file : files) {
        if (file.bytes.empty()) {
            return fail(errc::bad_data, "data: " + quoted(file.name) + " is empty");
        }
        size += file.bytes.size();
    }
    if (size > base::blob_size_max_bytes) {
        return fail(errc::bad_data, "data: " + std::to_string(size) + " bytes; at most " +
                                        std::to_string(base::blob_size_max_bytes));
    }
    if (!(validation_share >= 0 && validation_share < 1)) {  // NaN is neither
        return fail(errc::bad_data, "data: the validation share is from 0 to below 1");
    }
    const auto validation =
        static_cast<std::uint64_t>(std::floor(validation_share * static_cast<double>(size)));
    if (size - validation < context + 1) {
        return too_short("training", size - validation, context, "add text or lower context");
    }
    if (validation_share > 0 && validation < context + 1) {
        return too_short("validation", validation, context,
                         "add text, raise data.validation, lower context, or set "
                         "data.validation = 0 for none");
    }
    tokenised_data out;
    out.tokens.reserve(size);
    for (const auto& file : files) {
        if (!out.tokens.empty()) out.tokens.push_back(file_separator);
        out.tokens.insert(out.tokens.end(), file.bytes.begin(), file.bytes.end());
    }
    out.config = {base::blob_ref_of(out.tokens), 1, size, validation};
    return out;
}

base::result<dataset_view> dataset_view::open(base::byte_view tokens, const recipe& r) {
    const auto& d = r.data;
    TEQUIO_CHECK(check_recipe(r));
    if (tokens.size() != d.tokens.size) {
        return fail(errc::bad_data, "data: found " + std::to_string(tokens.size()) +
                                        " bytes of tokens, the recipe says " +
                                        std::to_string(d.tokens.size));
    }
    if (d.token_bytes == 4 || r.model.vocabulary < std::uint64_t{1} << (8 * d.token_bytes)) {
        for (std::uint64_t i = 0; i < d.token_count; ++i) {
            const auto token = token_at(tokens, d.token_bytes, i);
            if (token < r.model.vocabulary) continue;
            return fail(errc::bad_data, "data: token " + std::to_string(i) + " is " +
                                            std::to_string(token) + ", the vocabulary has " +
                                            std::to_string(r.model.vocabulary));
        }
    }
    dataset_view out;
    out.tokens_ = tokens;
    out.config_ = d;
    out.context_ = r.model.context;
    out.validation_windows_ =
        std::min(validation_windows_max, d.validation_tokens / (r.model.context + 1));
    out.order_key_ = numerics::derive_key(numerics::stream_data_order, r.train.seed, d.tokens.root);
    return out;
}

std::uint64_t dataset_view::training_start(base::round_index round, base::lane_index lane,
                                           std::uint64_t step, std::uint64_t index) const {
    const numerics::draws draws(order_key_, {round.value, lane.value, step});
    const auto low = std::uint64_t{draws.word(2 * index)};
    const auto high = std::uint64_t{draws.word(2 * index + 1)};
    const auto places = training_tokens() - context_;
    using wide = unsigned __int128;
    return static_cast<std::uint64_t>((wide{high << 32 | low} * places) >> 64);
}

std::uint64_t dataset_view::validation_start(std::uint64_t window) const {
    base::ensure(window < validation_windows_, "this validation window exists");
    return training_tokens() + window * (context_ + 1);
}

void dataset_view::read(std::uint64_t start, std::span<std::uint32_t> out) const {
    base::ensure(start <= config_.token_count && out.size() <= config_.token_count - start,
                 "these tokens exist");
    for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] = token_at(tokens_, config_.token_bytes, start + i);
    }
}

}  // namespace tequio::training
