#include "training/model/step_tokens.hpp"

#include <algorithm>

namespace tequio::training {

step_tokens::step_tokens(const trainer_config& config)
    : batch_(config.batch),
      micro_batch_(config.micro_batch),
      context_(config.model.context),
      tokens_(config.batch * config.model.context),
      targets_(config.batch * config.model.context) {}

batch_view step_tokens::view(std::uint64_t at, std::uint64_t count) const {
    const auto first = at * context_, size = count * context_;
    return {std::span(tokens_).subspan(first, size),
            {},
            std::span(targets_).subspan(first, size),
            context_};
}

batch_view step_tokens::read(std::uint64_t first, std::uint64_t count, std::uint64_t at,
                             const batch_source& source) {
    const auto place = at * context_, size = count * context_;
    source(first,
           {std::span(tokens_).subspan(place, size), {}, std::span(targets_).subspan(place, size)});
    return view(at, count);
}

batch_view step_tokens::micro_batch(std::uint64_t index) const {
    const auto at = index * micro_batch_;
    return view(at, std::min(micro_batch_, batch_ - at));
}

}  // namespace tequio::training
