#include "training/dataset.hpp"

#include <algorithm>

#include "base/ensure.hpp"
#include "training/errc.hpp"
#include "training/numerics/philox.hpp"

namespace tequio::training {
namespace {

std::uint32_t token_at(base::byte_view tokens, std::uint32_t token_bytes, std::uint64_t index) {
    const auto* p = tokens.data() + index * token_bytes;
    std::uint32_t token = 0;
    for (std::uint32_t i = 0; i < token_bytes; ++i) token |= std::uint32_t{p[i]} << (8 * i);
    return token;
}

}  // namespace

std::uint64_t validation_windows_of(const recipe& r) {
    if (r.model.family == "mlp") {
        return std::min(validation_examples_max, r.data.validation_tokens);
    }
    return std::min(validation_windows_max, r.data.validation_tokens / (r.model.context + 1));
}

base::result<void> dataset_view::check_tokens(std::uint64_t vocabulary) const {
    const auto bytes = config_.token_bytes;
    if (bytes != 4 && vocabulary >= std::uint64_t{1} << (8 * bytes)) return {};
    for (std::uint64_t i = 0; i < config_.token_count; ++i) {
        const auto token = token_at(blob_, bytes, i);
        if (token < vocabulary) continue;
        return fail(errc::bad_data, "data: token " + std::to_string(i) + " is " +
                                        std::to_string(token) + ", the vocabulary has " +
                                        std::to_string(vocabulary));
    }
    return {};
}

base::result<dataset_view> dataset_view::open(base::byte_view blob, const recipe& r) {
    const auto& d = r.data;
    TEQUIO_CHECK(check_recipe(r));
    const bool examples = r.model.family == "mlp";
    if (blob.size() != d.tokens.size) {
        return fail(errc::bad_data, "data: found " + std::to_string(blob.size()) + " bytes of " +
                                        (examples ? "examples" : "tokens") + ", the recipe says " +
                                        std::to_string(d.tokens.size));
    }
    dataset_view out;
    out.blob_ = blob;
    out.config_ = d;
    out.context_ = r.model.context;
    if (examples) {
        TEQUIO_CHECK(out.open_examples(r.model));
    } else {
        TEQUIO_CHECK(out.check_tokens(r.model.vocabulary));
    }
    out.places_ = out.training_tokens() - (examples ? 0 : out.context_);
    out.validation_windows_ = validation_windows_of(r);
    out.order_key_ = numerics::derive_key(numerics::stream_data_order, r.train.seed, d.tokens.root);
    return out;
}

std::uint64_t dataset_view::training_start(base::round_index round, base::lane_index lane,
                                           std::uint64_t step, std::uint64_t index) const {
    const numerics::draws draws(order_key_, {round.value, lane.value, step});
    const auto low = std::uint64_t{draws.word(2 * index)};
    const auto high = std::uint64_t{draws.word(2 * index + 1)};
    using wide = unsigned __int128;
    return static_cast<std::uint64_t>((wide{high << 32 | low} * places_) >> 64);
}

std::uint64_t dataset_view::validation_start(std::uint64_t window) const {
    base::ensure(window < validation_windows_, "this validation window exists");
    return training_tokens() + window * (holds_examples() ? 1 : context_ + 1);
}

void dataset_view::read(std::uint64_t start, std::span<std::uint32_t> out) const {
    base::ensure(start <= config_.token_count && out.size() <= config_.token_count - start,
                 "these tokens exist");
    for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] = token_at(blob_, config_.token_bytes, start + i);
    }
}

}  // namespace tequio::training
