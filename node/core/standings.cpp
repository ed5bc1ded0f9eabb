#include "node/core/standings.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace tequio::node {
namespace {

constexpr std::string_view nothing = "-";

}  // namespace

std::vector<standings::change> standings::add(const training::standing_changed& news,
                                              base::unix_time now) {
    std::vector<change> out;
    auto it = opinions_.find(news.node);
    if (it == opinions_.end() && opinions_.size() >= nodes_max) {
        const auto oldest = std::min_element(
            opinions_.begin(), opinions_.end(),
            [](const auto& a, const auto& b) { return a.second.last() < b.second.last(); });
        out.emplace_back(oldest->first.hex(), std::nullopt);
        opinions_.erase(oldest);
    }
    if (it == opinions_.end()) it = opinions_.emplace(news.node, opinion{0, now, {}}).first;
    auto& o = it->second;
    if (o.refuted_at && !stands(*o.refuted_at, now)) {
        o.refuted_at.reset();
        o.matched = 0;
    }
    // What was right long ago says nothing of the machine as it is now.
    if (news.contradicted || !stands(o.matched_at, now)) o.matched = 0;
    if (!news.contradicted) o.matched = std::min(o.matched + news.matched, matched_max);
    o.matched_at = now;
    if (news.refuted) o.refuted_at = now;
    out.emplace_back(
        news.node.hex(),
        "1 " + std::to_string(o.matched) + " " + std::to_string(o.matched_at.seconds) + " " +
            (o.refuted_at ? std::to_string(o.refuted_at->seconds) : std::string(nothing)));
    return out;
}

base::result<void> standings::restore(std::string_view key, std::string_view text) {
    const auto node = base::parse_id<base::node_id>(key);
    const auto words = base::split(text, ' ');
    const bool shaped = node && words.size() == 4 && words[0] == "1";
    const auto matched = shaped ? base::parse_u64(words[1]) : std::nullopt;
    const auto matched_at = shaped ? base::parse_i64(words[2]) : std::nullopt;
    const auto refuted_at =
        shaped && words[3] != nothing ? base::parse_i64(words[3]) : std::nullopt;
    const bool refuted = shaped && words[3] != nothing;
    if (!matched || *matched > matched_max || !matched_at || refuted != refuted_at.has_value()) {
        return base::fail(base::errc::bad_encoding, "what is thought of a node is malformed: " +
                                                        std::string(key.substr(0, 64)));
    }
    if (opinions_.size() >= nodes_max && !opinions_.contains(*node)) return {};
    opinion o{*matched, {*matched_at}, {}};
    if (refuted_at) o.refuted_at = base::unix_time{*refuted_at};
    opinions_[*node] = o;
    return {};
}

std::vector<training::crew_standing> standings::known(base::unix_time now) const {
    std::vector<training::crew_standing> out;
    for (const auto& [node, o] : opinions_) {
        const bool refuted = o.refuted_at && stands(*o.refuted_at, now);
        // Once the fault has lapsed the node begins again: what it matched meanwhile was looked at
        // because of it.
        const bool counts = !o.refuted_at && stands(o.matched_at, now);
        if (refuted || counts) out.push_back({node, counts ? o.matched : 0, refuted});
    }
    return out;
}

}  // namespace tequio::node
