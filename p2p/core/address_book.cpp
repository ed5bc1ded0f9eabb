#include "p2p/core/address_book.hpp"

#include <algorithm>

#include "base/ensure.hpp"

namespace tequio::p2p {
namespace {

constexpr std::string_view magic = "TEQUIOPB";
constexpr std::uint32_t format = 1;
constexpr std::int64_t clock_slack_seconds = 120;

std::string group_of(const peer_record& record) {
    if (record.addresses.empty()) return "(none)";
    const auto& first = record.addresses.front();
    return first.is_local() ? "" : first.netgroup();
}

}  // namespace

address_book::address_book(const network_config& config, const base::node_id& self, base::rng rng)
    : config_(config), self_(self), rng_(rng) {}

address_book::outcome address_book::add(base::byte_view bytes, base::unix_time now) {
    // Old news is the common case; it costs no signature.
    const auto claim = peek_peer_record(bytes);
    if (claim) {
        const auto held = records_.find(claim->node);
        if (held != records_.end() && held->second.record.sequence >= claim->sequence) {
            return outcome::known;
        }
    }
    auto record = verify_peer_record(bytes);
    if (!record) return outcome::bad;
    if (record->node == self_) return outcome::known;
    const auto lifetime = std::chrono::duration_cast<std::chrono::seconds>(config_.record_lifetime);
    const auto left = record->expires.seconds - now.seconds;
    // Far-off dates would let a stranger hold a place for ever.
    if (left < -clock_slack_seconds || left > 2 * lifetime.count()) return outcome::refused;

    auto at = records_.find(record->node);
    const bool is_new = at == records_.end();
    auto group = group_of(*record);
    const bool same_group = !is_new && at->second.netgroup == group;
    if (is_new && records_.size() >= config_.records_max) return outcome::refused;
    if (!group.empty() && !same_group && per_netgroup_[group] >= config_.records_per_netgroup) {
        return outcome::refused;
    }
    if (!is_new) drop(at);
    if (!group.empty()) ++per_netgroup_[group];
    const auto node = record->node;
    records_[node] = {std::move(*record), {bytes.begin(), bytes.end()}, std::move(group)};
    fresh_.insert(node);
    return is_new ? outcome::added : outcome::renewed;
}

address_book::table::iterator address_book::drop(table::iterator at) {
    if (!at->second.netgroup.empty()) {
        auto group = per_netgroup_.find(at->second.netgroup);
        if (--group->second == 0) per_netgroup_.erase(group);
    }
    fresh_.erase(at->first);
    return records_.erase(at);
}

void address_book::expire(base::unix_time now) {
    for (auto at = records_.begin(); at != records_.end();) {
        const bool over = at->second.record.expires.seconds + clock_slack_seconds < now.seconds;
        at = over ? drop(at) : std::next(at);
    }
}

const std::vector<address>* address_book::addresses_of(const base::node_id& node) const {
    const auto at = records_.find(node);
    return at == records_.end() ? nullptr : &at->second.record.addresses;
}

std::vector<base::node_id> address_book::nodes() const {
    std::vector<base::node_id> out;
    for (const auto& [node, unused] : records_) out.push_back(node);
    return out;
}

std::vector<base::byte_vector> address_book::sample(std::size_t n) {
    auto chosen = nodes();
    n = std::min(n, chosen.size());
    std::vector<base::byte_vector> out;
    for (std::size_t i = 0; i < n; ++i) {
        std::swap(chosen[i], chosen[i + rng_.below(chosen.size() - i)]);
        out.push_back(records_.at(chosen[i]).bytes);
    }
    return out;
}

std::vector<base::byte_vector> address_book::take_fresh(std::size_t n) {
    std::vector<base::byte_vector> out;
    while (!fresh_.empty() && out.size() < n) {
        out.push_back(records_.at(*fresh_.begin()).bytes);
        fresh_.erase(fresh_.begin());
    }
    return out;
}

base::byte_vector address_book::encode() const {
    base::byte_vector out;
    base::byte_writer w(out);
    w.raw(base::as_bytes(magic));
    w.u32(format);
    w.u32(static_cast<std::uint32_t>(records_.size()));
    for (const auto& [node, e] : records_) {
        w.u16(static_cast<std::uint16_t>(e.bytes.size()));
        w.raw(e.bytes);
    }
    return out;
}

void address_book::load(base::byte_view bytes, base::unix_time now) {
    base::byte_reader in(bytes);
    if (base::as_text(in.raw(magic.size())) != magic || in.u32() != format) return;
    const auto count = std::min<std::uint64_t>(in.u32(), config_.records_max);
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto record = in.raw(in.u16());
        if (in.failed()) return;
        add(record, now);
    }
    fresh_.clear();  // old news
}

void address_book::check() const {
    base::ensure(records_.size() <= config_.records_max, "the address book is bounded");
    std::map<std::string, std::size_t> groups;
    for (const auto& [node, e] : records_) {
        base::ensure(node == e.record.node && node != self_, "records stand under their own node");
        if (!e.netgroup.empty()) ++groups[e.netgroup];
    }
    base::ensure(groups == per_netgroup_ || per_netgroup_.size() >= groups.size(),
                 "groups of addresses are counted");
    for (const auto& node : fresh_) {
        base::ensure(records_.contains(node), "fresh records are kept records");
    }
}

}  // namespace tequio::p2p
