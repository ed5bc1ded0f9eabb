#include "training/data/added_tokens.hpp"

#include <algorithm>

#include "training/errc.hpp"
#include "training/round/lines.hpp"

namespace tequio::training {
namespace {

/// Each place of a text is compared with every token of the same first byte: these bound the work.
constexpr std::size_t count_max = 4096;
constexpr std::size_t content_max_bytes = 256;

}  // namespace

base::result<added_tokens> added_tokens::make(const std::vector<bpe_description::added_token>& all,
                                              bool normalized) {
    added_tokens out;
    for (const auto& t : all) {
        if (t.special || t.normalized != normalized) continue;
        if (out.tokens_.size() == count_max) {
            return fail(errc::bad_data, "added_tokens: found more than " +
                                            std::to_string(count_max) +
                                            " that are not special, allowed: that many");
        }
        if (t.content.size() > content_max_bytes) {
            return fail(errc::bad_data, "added_tokens " + quoted(t.content) + ": found " +
                                            std::to_string(t.content.size()) +
                                            " bytes, allowed: at most " +
                                            std::to_string(content_max_bytes));
        }
        out.tokens_.push_back({t.content, t.id});
    }
    const auto first = [](const token& t) { return static_cast<unsigned char>(t.content[0]); };
    std::sort(out.tokens_.begin(), out.tokens_.end(), [&](const token& a, const token& b) {
        if (first(a) != first(b)) return first(a) < first(b);
        if (a.content.size() != b.content.size()) return a.content.size() > b.content.size();
        return a.content < b.content;
    });
    for (std::size_t i = 0; i < out.tokens_.size(); ++i) {
        const auto& t = out.tokens_[i];
        if (i != 0 && t.content == out.tokens_[i - 1].content) {
            return fail(errc::bad_data, "added_tokens " + quoted(t.content) +
                                            ": found twice, allowed: each token once");
        }
        ++out.first_[first(t) + 1U];
    }
    for (std::size_t i = 1; i < out.first_.size(); ++i) out.first_[i] += out.first_[i - 1];
    return out;
}

added_tokens::place added_tokens::find(std::string_view text, std::size_t from) const {
    for (std::size_t at = from; at < text.size(); ++at) {
        const auto byte = static_cast<unsigned char>(text[at]);
        for (auto i = first_[byte]; i < first_[byte + 1U]; ++i) {
            const auto& t = tokens_[i];
            if (text.substr(at).starts_with(t.content)) return {at, at + t.content.size(), t.id};
        }
    }
    return {};
}

}  // namespace tequio::training
