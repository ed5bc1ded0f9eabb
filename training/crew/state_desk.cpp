#include "training/crew/state_desk.hpp"

#include <algorithm>

#include "base/ensure.hpp"
#include "training/errc.hpp"

namespace tequio::training {

base::byte_vector encode_states(const crew_states& states) {
    base::byte_vector out;
    base::byte_writer w(out);
    w.u64(states.means_from);
    w.u32(static_cast<std::uint32_t>(states.kept.size()));
    for (const auto& [round, blob] : states.kept) {
        w.u64(round);
        w.raw(blob.root.view());
        w.u64(blob.size);
    }
    return out;
}

base::result<crew_states> decode_states(base::byte_view bytes) {
    base::byte_reader in(bytes);
    crew_states out;
    out.means_from = in.u64();
    const auto count = in.u32();
    for (std::uint32_t i = 0; i < count && i < crew_states_kept; ++i) {
        const auto round = in.u64();
        base::blob_ref blob;
        const auto root = in.raw(blob.root.bytes.size());
        std::copy(root.begin(), root.end(), blob.root.bytes.begin());
        blob.size = in.u64();
        if (!out.kept.empty() && out.kept.back().first >= round) break;
        out.kept.emplace_back(round, blob);
    }
    if (in.failed() || !in.at_end() || out.kept.size() != count) {
        return fail(errc::bad_message, "stored names of full states");
    }
    return out;
}

}  // namespace tequio::training

namespace tequio::training::crew_protocol {
namespace {

/// Tries to fetch a state before the means are taken instead.
constexpr unsigned fetch_tries_max = 3;
/// How long the way to a state may bring no entry (guess: far above the second between requests).
constexpr base::duration way_patience = std::chrono::minutes(1);
constexpr std::size_t refused_max = 16;
/// A status comes every second beat.
constexpr int heard_after_beats = 3;

}  // namespace

state_desk::state_desk(const crew_config& config, const job_shape& shape)
    : bytes_(config.full_state_bytes),
      spacing_(config.slices.max > 1 ? 0 : config.full_state_spacing),
      rounds_(shape.rounds),
      mean_bytes_(shape.mean_bytes),
      beat_(config.timings.beat) {}

void state_desk::load(const crew_states& stored, const catch_up& chain) {
    means_from_ = std::min(stored.means_from, chain.length());
    for (const auto& [round, blob] : stored.kept) {
        if (round > chain.length() || spacing_ == 0) continue;
        kept_.push_back({round, blob, chain.history(round)});
    }
}

void state_desk::store(std::vector<crew_effect>& out) const {
    crew_states states{means_from_, {}};
    for (const auto& kept : kept_) states.kept.emplace_back(kept.round, kept.blob);
    out.push_back(store_fact{crew_states_key, encode_states(states)});
}

std::vector<base::blob_ref> state_desk::blobs() const {
    std::vector<base::blob_ref> out;
    for (const auto& kept : kept_) out.push_back(kept.blob);
    return out;
}

std::optional<named_state> state_desk::newest(std::uint64_t settled) const {
    for (auto it = kept_.rbegin(); it != kept_.rend(); ++it) {
        if (it->round <= settled) return *it;
    }
    return std::nullopt;
}

bool state_desk::due(std::uint64_t applied, const catch_up& chain) const {
    return spacing_ > 0 && applied > 0 && applied % spacing_ == 0 && applied < rounds_ &&
           applied == chain.length() && tried_ != applied &&
           (kept_.empty() || kept_.back().round < applied) && chain.next() == nullptr;
}

void state_desk::make_room(blob_desk& blobs, std::vector<crew_effect>& out) {
    if (kept_.size() >= crew_states_kept) drop(crew_states_kept - 1, blobs, out);
}

void state_desk::kept(std::uint64_t round, const base::blob_ref& blob, const catch_up& chain,
                      blob_desk& desk, std::vector<crew_effect>& out) {
    if (blob.size != bytes_ || round > chain.length()) return not_kept(round);
    add({round, blob, chain.history(round)}, desk, out);
}

void state_desk::add(const named_state& state, blob_desk& blobs, std::vector<crew_effect>& out) {
    std::erase_if(kept_, [&](const auto& kept) { return kept.round >= state.round; });
    kept_.push_back(state);
    blobs.made(state.blob, rounds_ + 1);
    drop(crew_states_kept, blobs, out);
}

/// All but the newest `left`. The names go first: what they name is there at any time.
void state_desk::drop(std::size_t left, blob_desk& blobs, std::vector<crew_effect>& out) {
    std::vector<base::blob_ref> gone;
    while (kept_.size() > left) {
        gone.push_back(kept_.front().blob);
        kept_.erase(kept_.begin());
    }
    store(out);
    for (const auto& blob : gone) blobs.drop(blob, out);
}

/// Means that this node would have to fetch on its way to S(round).
std::uint64_t state_desk::means_missing(std::uint64_t round, const surroundings& s) const {
    const auto known = std::max(s.applied, s.chain.length());
    const auto never_here = std::min(means_from_, round);
    return (round > known ? round - known : 0) +
           (never_here > s.applied ? never_here - s.applied : 0);
}

/// A state of its own, after a restart; else the one that most members name, if that is fewer bytes
/// than the means before it, or one of those is lost. What alike nodes keep is alike to the byte,
/// so a lone one that names another is not believed where others are.
std::optional<state_jump> state_desk::best(const surroundings& s) const {
    state_jump out;
    out.chosen = out.moved = out.look_at = s.now;
    // What it began from here counts as settled: it was, with those that named it.
    const auto own = newest(std::max(s.settled, means_from_));
    if (own && own->round > s.applied) {
        out.to = *own;
        return out;
    }
    const bool lost = s.applied < std::min(s.chain.length(), rounds_) &&
                      s.blobs.failures(s.chain.entries()[s.applied].mean) >= fetch_tries_max;
    if (!s.members.anyone_keeps(s.now)) return std::nullopt;
    std::map<named_state, std::set<base::node_id>> named;
    s.members.each_present(s.now, [&](const base::node_id& node, const member& m) {
        const auto& kept = m.said.kept;
        if (!kept || kept->round <= s.applied || m.apart || s.standing.excluded(node) ||
            kept->blob.size != bytes_ ||
            std::find(refused_.begin(), refused_.end(), kept->blob) != refused_.end()) {
            return;
        }
        if (lost || means_missing(kept->round, s) > bytes_ / mean_bytes_) {
            named[*kept].insert(node);
        }
    });
    const auto rank = [](const auto& n) { return std::pair(n.second.size(), n.first.round); };
    const auto most =
        std::max_element(named.begin(), named.end(),
                         [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
    if (most == named.end()) return std::nullopt;
    out.to = most->first;
    out.from = most->second;
    return out;
}

/// Which it is may change until it is here, when more members name another than ever named this.
void state_desk::choose(const surroundings& s, std::vector<crew_effect>& out) {
    if (jump_ && (jump_->own() || jump_->ready)) return;
    auto found = best(s);
    if (!found || (jump_ && (found->to == jump_->to || found->from.size() <= jump_->from.size()))) {
        return;
    }
    if (jump_) {
        found->chosen = jump_->chosen;
        s.blobs.drop(jump_->to.blob, out);
    }
    jump_ = std::move(found);
    s.chain.reach(jump_->to.round > s.chain.length() ? jump_->to.round : 0);
}

std::string state_desk::look(const surroundings& s, std::vector<crew_effect>& out) {
    if (spacing_ == 0) return "";
    if (jump_ && jump_->to.round <= s.applied) end_jump(s.chain);
    choose(s, out);
    if (!jump_) return "";
    auto& j = *jump_;
    // Everybody is heard before one is believed.
    if (!j.own() && s.now - j.chosen < heard_after_beats * beat_) return "";
    const bool own = j.own();
    std::vector<base::node_id> holders;
    s.members.each_present(s.now, [&](const base::node_id& node, const member& m) {
        if (!own && m.said.kept == j.to && !m.apart) j.from.insert(node);
        if (m.said.kept == j.to || j.from.contains(node)) holders.push_back(node);
    });
    const auto tries = holders.empty() ? 1u : fetch_tries_max;
    const bool here = s.blobs.want(s.now, {j.to.blob, std::move(holders), rounds_ + 1}, out);
    if (!here && s.blobs.failures(j.to.blob) >= tries) return "it is not to be had";
    auto why = look_along_the_way(s);
    j.ready = why.empty() && here && j.entries >= j.to.round;
    return why;
}

/// How many of the entries before the state are here, and whether they are those that its holders
/// name. Walking over the candidates takes as long as there are rounds, so it is done at times.
std::string state_desk::look_along_the_way(const surroundings& s) {
    auto& j = *jump_;
    if (s.now < j.look_at || j.entries >= j.to.round) return "";
    j.look_at = s.now + beat_;
    const auto way = s.chain.way_to(j.to.round, j.from);
    const auto entries = s.chain.length() + way.size();
    if (entries > j.entries) j.moved = s.now;
    if (entries < j.to.round) {
        j.entries = entries;
        return s.now - j.moved > way_patience ? "the rounds before it are not to be had" : "";
    }
    if (!j.own() && s.chain.history(j.to.round, way) != j.to.history) {
        return "the rounds before it are not those that its holders name";
    }
    j.entries = entries;
    return "";
}

void state_desk::arrived(bool passed, catch_up& chain, blob_desk& blobs,
                         std::vector<crew_effect>& out) {
    const auto to = jump_->to;
    end_jump(chain);
    if (passed) means_from_ = to.round;
    add(to, blobs, out);
}

void state_desk::refuse(catch_up& chain, blob_desk& blobs, std::vector<crew_effect>& out) {
    const auto to = jump_->to;
    end_jump(chain);
    refused_.push_back(to.blob);
    if (refused_.size() > refused_max) refused_.pop_front();
    if (std::erase(kept_, to) > 0) store(out);
    blobs.drop(to.blob, out);
}

void state_desk::end_jump(catch_up& chain) {
    jump_.reset();
    chain.reach(0);
}

void state_desk::check(const catch_up& chain) const {
    base::ensure(kept_.size() <= crew_states_kept, "bounded states");
    base::ensure(means_from_ <= chain.length(), "no means missing of what is to come");
}

}  // namespace tequio::training::crew_protocol
