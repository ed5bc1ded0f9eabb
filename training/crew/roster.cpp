#include "training/crew/roster.hpp"

#include <algorithm>
#include <cstring>

#include "base/ensure.hpp"
#include "training/errc.hpp"

namespace tequio::training::crew_protocol {

base::result<void> key_book::learn(const base::node_id& node, base::byte_view certificate) {
    if (known_.contains(node)) return {};
    if (!has_room(1)) return fail(errc::bad_message, "too many nodes' keys");
    if (certificate.size() > certificate_max_bytes) {
        return fail(errc::bad_message, "a certificate is too long");
    }
    TEQUIO_TRY(const auto message_key, keys_.verify_certificate(node, certificate));
    known_.emplace(node, key{message_key, {certificate.begin(), certificate.end()}});
    return {};
}

void key_book::keep_only(const std::set<base::node_id>& nodes) {
    std::erase_if(known_, [&](const auto& k) { return !nodes.contains(k.first); });
}

const base::byte_vector* key_book::certificate(const base::node_id& node) const {
    const auto it = known_.find(node);
    return it == known_.end() ? nullptr : &it->second.certificate;
}

base::result<void> key_book::verify(const base::node_id& node, fact_kind kind,
                                    const signed_fact& fact) const {
    const auto it = known_.find(node);
    if (it == known_.end()) {
        return fail(errc::bad_message, "a fact by " + node.brief() + ", whose key is not known");
    }
    const auto bytes = signed_bytes(kind, fact.body);
    const auto& signer = it->second.message;
    if (!(keys_.verify ? keys_.verify(signer, bytes, fact.signature)
                       : base::signature_verifies(signer, bytes, fact.signature))) {
        return fail(errc::bad_message, "a fact that " + node.brief() + " did not sign");
    }
    return {};
}

std::optional<std::vector<std::pair<base::node_id, base::byte_vector>>> key_book::certificates_for(
    const claim& said, const facts& m) const {
    std::vector<std::pair<base::node_id, base::byte_vector>> out;
    for (const auto& node : team_of(said)) {
        const auto& has = m.certificates;
        if (std::any_of(has.begin(), has.end(), [&](const auto& c) { return c.first == node; })) {
            continue;
        }
        const auto* known = certificate(node);
        if (known == nullptr) return std::nullopt;
        out.emplace_back(node, *known);
    }
    return out;
}

bool roster::up(base::time_point now, const base::node_id& node) {
    if (node == self_) return false;
    const auto it = members_.find(node);
    if (it != members_.end()) {
        // Its seat may have gone to another; it has to ask for one again.
        it->second.joined = seated(now, it->second);
        it->second.up = true;
        presence_.known = false;
        return true;
    }
    if (members_.size() >= links_max_) return false;
    members_[node].up = true;
    return true;
}

void roster::down(const base::node_id& node) {
    const auto it = members_.find(node);
    if (it == members_.end()) return;
    it->second.up = false;
    it->second.heard.reset();
    presence_.known = false;
}

member* roster::heard(base::time_point now, const base::node_id& node, const status& said) {
    if (node == self_) return nullptr;
    auto it = members_.find(node);
    const bool returns = it != members_.end() && !seated(now, it->second) && !said.leaving;
    if (it == members_.end() || !it->second.joined || returns) {
        if (full(now)) {
            if (returns) it->second.joined = false;
            presence_.known = false;
            return nullptr;
        }
        if (it == members_.end()) {
            if (members_.size() >= links_max_) return nullptr;
            it = members_.emplace(node, member{}).first;
        }
    }
    auto& m = it->second;
    // Who was present, is, and stands where it stood, changes nothing but how long that holds.
    if (!shows(now, m) || said.leaving || said.chronicle != m.said.chronicle ||
        said.full != m.said.full || said.kept.has_value() != m.said.kept.has_value()) {
        presence_.known = false;
    }
    m.joined = true;
    if (said.activity != m.activity || !m.heard) {
        m.activity = said.activity;
        m.active = now;
    }
    m.heard = now;
    m.said = said;
    return &m;
}

void roster::release_foreign() {
    for (auto& [node, m] : members_) {
        if (!foreign(node)) continue;
        m.joined = false;
        m.heard.reset();
    }
    presence_.known = false;
}

bool roster::full(base::time_point now) const {
    const auto taken = std::count_if(members_.begin(), members_.end(),
                                     [&](const auto& m) { return seated(now, m.second); });
    return static_cast<std::uint64_t>(taken) + 1 >= crew_max_;
}

void roster::beat(base::time_point now) {
    std::erase_if(members_, [&](const auto& entry) {
        const auto& m = entry.second;
        return !m.up && (!m.heard || now - *m.heard > timings_.forget_after);
    });
    presence_.known = false;
}

const member* roster::find(const base::node_id& node) const {
    const auto it = members_.find(node);
    return it == members_.end() ? nullptr : &it->second;
}

member* roster::find(const base::node_id& node) {
    const auto it = members_.find(node);
    return it == members_.end() ? nullptr : &it->second;
}

bool roster::shows(base::time_point now, const member& m) const {
    return m.joined && m.heard && now - *m.heard <= timings_.silent_after && !m.said.leaving;
}

bool roster::seated(base::time_point now, const member& m) const {
    return m.joined && !m.said.leaving && (m.up || shows(now, m));
}

bool roster::present(base::time_point now, const base::node_id& node) const {
    const auto* m = find(node);
    return m != nullptr && shows(now, *m);
}

const roster::presence& roster::look(base::time_point now) const {
    auto& p = presence_;
    if (p.known && now >= p.from && now <= p.until) return p;
    p.known = true;
    p.from = now;
    p.until = base::time_point::max();
    p.shown.clear();
    p.full = 0;
    p.keeps = false;
    // FNV-1a, a word at a time.
    p.stamp = 0xcbf29ce484222325u;
    const auto add = [&](std::uint64_t word) { p.stamp = (p.stamp ^ word) * 0x100000001b3u; };
    if (groups_ != nullptr && groups_->several()) add(groups_->depth());
    for (const auto& member_entry : members_) {
        const auto& [node, m] = member_entry;
        if (!shows(now, m)) continue;
        p.shown.push_back(&member_entry);
        p.full += m.said.full;
        p.keeps = p.keeps || m.said.kept;
        p.until = std::min(p.until, *m.heard + timings_.silent_after);
        std::uint64_t head = 0;
        std::memcpy(&head, node.bytes.data(), sizeof head);
        add(head);
        add(m.said.chronicle);
    }
    return p;
}

std::vector<base::node_id> roster::present(base::time_point now) const {
    std::vector<base::node_id> out;
    const auto& all = shown(now);
    out.reserve(all.size());
    for (const auto* e : all) out.push_back(e->first);
    return out;
}

std::uint64_t roster::count_present(base::time_point now) const {
    return shown(now).size();
}

std::uint64_t roster::stamp(base::time_point now) const {
    return look(now).stamp;
}

bool roster::has_company(base::time_point now) const {
    const auto& all = shown(now);
    return std::any_of(all.begin(), all.end(),
                       [](const auto* e) { return e->second.said.able && !e->second.apart; });
}

bool roster::expecting() const {
    return std::any_of(members_.begin(), members_.end(),
                       [](const auto& m) { return m.second.up && !m.second.joined; });
}

void roster::check() const {
    base::ensure(!members_.contains(self_), "this node is not its own member");
    base::ensure(members_.size() <= links_max_, "bounded roster");
    for (const auto& [node, m] : members_) {
        base::ensure(!m.joined || !foreign(node), "members are of one group");
    }
}

}  // namespace tequio::training::crew_protocol
