#include "p2p/core/blob_transfer.hpp"

#include <algorithm>

#include "base/ensure.hpp"

namespace tequio::p2p {
namespace {

constexpr std::uint32_t misses_max = 6;  // 0.25 s doubling: about 16 s of patience
constexpr base::duration first_wait = std::chrono::milliseconds(250);
constexpr base::duration busy_wait = std::chrono::seconds(1);
constexpr base::duration silence_wait = std::chrono::seconds(5);
constexpr std::size_t false_piece_weight = 5;
// So long before the last piece has come, at the limit's rate, the next may be asked for: it takes
// its time to come too.
constexpr base::duration ask_ahead = std::chrono::milliseconds(200);
// Nothing more is asked of a peer that left so many requests unanswered.
constexpr std::size_t owed_max = 256;
constexpr base::duration link_change = std::chrono::seconds(30);

}  // namespace

blob_transfer::blob_transfer(const network_config& config, const base::node_id& self, base::rng rng)
    : config_(config), self_(self), rng_(rng) {}

void blob_transfer::peer_up(base::time_point now, const base::node_id& node, part_effects& out) {
    peers_[node].judged_from = now + link_change;
    ask(now, node, out);
}

void blob_transfer::link_lost(base::time_point now, const base::node_id& node, bool still_linked,
                              part_effects& out) {
    release_all_of(node);
    if (!still_linked) {
        peers_.erase(node);
        // Reads under way for it go on in the shell; their answers find nobody.
        std::erase_if(readings_, [&](const auto& r) { return r.second.node == node; });
    }
    ask_all(now, out);
}

base::result<void> blob_transfer::fetch(base::time_point now, const fetch_blob& command,
                                        part_effects& out) {
    const auto& ref = command.ref;
    if (ref.size > base::blob_size_max_bytes) {
        return fail(errc::too_large, "a blob above its cap: " + ref.text());
    }
    if (!command.have.empty() && command.have.size() != ref.pieces()) {
        return fail(errc::too_large, "the pieces at hand do not fit the blob " + ref.text());
    }
    if (!command.pieces.fits(ref)) {
        return fail(errc::too_large, "pieces beyond the end of the blob " + ref.text());
    }
    if (!numbers_.contains(ref)) {
        if (transfers_.size() >= config_.fetches_max) {
            return fail(errc::full, "too many blobs are being fetched");
        }
        const auto number = next_number_++;
        numbers_[ref] = number;
        auto& t = transfers_[number];
        t.ref = ref;
        t.pieces.assign(ref.pieces(), piece::unwanted);
        t.start = rng_.below(ref.pieces());
    }
    const auto number = numbers_.at(ref);
    auto& t = transfers_.at(number);
    add_pieces(t, command);
    for (const auto& node : command.holders) {
        if (node == self_ || t.holders.size() >= blob_holders_max) continue;
        const auto [at, is_new] = t.holders.try_emplace(node);
        if (!is_new && (!at->second.given_up || at->second.lied)) continue;
        at->second = {};
        by_holder_[node].insert(number);
        out.wants.push_back(node);
    }
    if (t.done == t.wanted) {
        finish(number, out);
        out.shell.push_back(blob_complete{ref});
        return {};
    }
    if (fail_if_hopeless(number, out)) return {};
    ask_all(now, out);
    return {};
}

void blob_transfer::cancel(const base::blob_ref& ref, part_effects& out) {
    if (const auto at = numbers_.find(ref); at != numbers_.end()) finish(at->second, out);
}

// What is wanted from now on; what was wanted before keeps its standing.
void blob_transfer::add_pieces(transfer& t, const fetch_blob& command) {
    const auto run = command.pieces.within(t.ref);
    bool some_missing = false;
    for (auto i = run.first; i < run.first + run.count; ++i) {
        if (t.pieces[i] != piece::unwanted) continue;
        const bool here = !command.have.empty() && command.have[i];
        t.pieces[i] = here ? piece::done : piece::missing;
        t.done += here ? 1 : 0;
        some_missing = some_missing || !here;
        ++t.wanted;
    }
    if (some_missing) t.cursor = 0;
}

// The next piece nobody was asked for: given-back ones first, then onwards from the start point.
std::optional<std::uint64_t> blob_transfer::next_piece(transfer& t) const {
    if (!t.again.empty()) {
        const auto index = *t.again.begin();
        t.again.erase(t.again.begin());
        return index;
    }
    const auto count = t.ref.pieces();
    while (t.cursor < count) {
        const auto index = (t.start + t.cursor++) % count;
        if (t.pieces[index] == piece::missing) return index;
    }
    return std::nullopt;
}

void blob_transfer::ask(base::time_point now, const base::node_id& node, part_effects& out) {
    const auto p = peers_.find(node);
    const auto listed = by_holder_.find(node);
    if (p == peers_.end() || listed == by_holder_.end() || p->second.not_before > now) return;
    for (const auto number : listed->second) {
        auto& t = transfers_.at(number);
        if (t.holders.at(node).not_before > now) continue;
        while (p->second.asked < config_.pieces_per_peer && p->second.owed.size() < owed_max &&
               requests_.size() < config_.pieces_total) {
            if (limit_reached(now)) {
                limited_ = true;
                return;
            }
            const auto index = next_piece(t);
            if (!index) break;
            charge(now, t.ref.piece_size(*index));
            t.pieces[*index] = piece::asked;
            ++t.asked;
            requests_.insert({node, number, *index});
            if (p->second.asked++ == 0) p->second.silent_since = now;
            ++p->second.owed[{t.ref, *index}];
            out.send(node, wire::piece_request{t.ref, *index});
        }
    }
}

void blob_transfer::ask_all(base::time_point now, part_effects& out) {
    for (const auto& [node, unused] : peers_) ask(now, node, out);
}

void blob_transfer::limit(base::time_point now, std::uint64_t bytes_per_second, part_effects& out) {
    bytes_per_second_ = bytes_per_second;
    // What was asked for under a lower limit is not waited for any longer.
    paid_until_ = now;
    limited_ = false;
    ask_all(now, out);
}

bool blob_transfer::limit_reached(base::time_point now) const {
    return bytes_per_second_ != 0 && paid_until_ > now + ask_ahead;
}

/// How long so many bytes take at the limit's rate: whole nanoseconds, so that every machine
/// decides alike. Pieces are small enough for them.
base::duration blob_transfer::time_of(std::uint64_t bytes) const {
    constexpr std::uint64_t second = 1'000'000'000;
    if (bytes_per_second_ == 0) return base::duration::zero();
    return base::duration(static_cast<std::int64_t>(bytes * second / bytes_per_second_));
}

void blob_transfer::charge(base::time_point now, std::uint64_t bytes) {
    paid_until_ = std::max(paid_until_, now) + time_of(bytes);
}

// It does not come.
void blob_transfer::take_back(std::uint64_t bytes) {
    paid_until_ -= time_of(bytes);
}

// Forgets a request; a piece that is not done can be asked of others.
void blob_transfer::release(const request_key& key) {
    requests_.erase(key);
    if (const auto p = peers_.find(key.node); p != peers_.end()) --p->second.asked;
    auto& t = transfers_.at(key.transfer);
    if (t.pieces[key.index] != piece::asked) return;
    t.pieces[key.index] = piece::missing;
    t.again.insert(key.index);
    --t.asked;
}

void blob_transfer::release_all_of(const base::node_id& node) {
    for (auto at = requests_.lower_bound({node, 0, 0});
         at != requests_.end() && at->node == node;) {
        const auto key = *at++;
        release(key);
    }
}

void blob_transfer::give_up(transfer& t, const base::node_id& node, part_effects& out) {
    auto& h = t.holders.at(node);
    if (h.given_up) return;
    h.given_up = true;
    const auto number = numbers_.at(t.ref);
    for (auto at = requests_.lower_bound({node, number, 0});
         at != requests_.end() && at->node == node && at->transfer == number;) {
        const auto key = *at++;
        release(key);
    }
    auto listed = by_holder_.find(node);
    listed->second.erase(number);
    if (listed->second.empty()) by_holder_.erase(listed);
    out.unwants.push_back(node);
}

void blob_transfer::finish(transfer_number number, part_effects& out) {
    auto& t = transfers_.at(number);
    for (const auto& [node, h] : t.holders) give_up(t, node, out);
    numbers_.erase(t.ref);
    transfers_.erase(number);
}

bool blob_transfer::fail_if_hopeless(transfer_number number, part_effects& out) {
    auto& t = transfers_.at(number);
    std::size_t lied = 0;
    for (const auto& [node, h] : t.holders) {
        if (!h.given_up) return false;
        if (h.lied) ++lied;
    }
    out.shell.push_back(blob_failed{t.ref, t.holders.empty()
                                               ? "no other node is known to hold it"
                                               : "none of the " + std::to_string(t.holders.size()) +
                                                     " nodes asked has it (" +
                                                     std::to_string(lied) + " sent false pieces)"});
    finish(number, out);
    return true;
}

void blob_transfer::answered(base::time_point now, const base::node_id& from,
                             wire::piece_answer&& m, part_effects& out) {
    peers_.at(from).silent_since = now;
    if (!take_owed(now, from, m, out)) return;
    const auto at = numbers_.find(m.ref);
    if (at == numbers_.end()) return;  // cancelled or complete
    const auto number = at->second;
    if (!transfers_.at(number).holders.contains(from)) return;
    const request_key key{from, number, m.index};
    const bool was_asked = requests_.contains(key);
    if (was_asked) release(key);
    if (m.status == wire::piece_status::found) {
        take_piece(now, number, from, std::move(m), out);
    } else if (was_asked) {
        take_back(at->first.piece_size(m.index));
        missed(now, number, from, m.status, out);
    }
    // Others may take over what this holder gave back.
    if (m.status == wire::piece_status::found) {
        ask(now, from, out);
    } else {
        ask_all(now, out);
    }
}

// Whether it was asked that; if not, it is dropped.
bool blob_transfer::take_owed(base::time_point now, const base::node_id& from,
                              const wire::piece_answer& m, part_effects& out) {
    auto& p = peers_.at(from);
    if (const auto owed = p.owed.find({m.ref, m.index}); owed != p.owed.end()) {
        if (--owed->second == 0) p.owed.erase(owed);
        return true;
    }
    if (now >= p.judged_from) {
        out.blame(from, 1,
                  "sent a piece of blob " + m.ref.root.brief() + " that it was not asked for");
    }
    return false;
}

void blob_transfer::take_piece(base::time_point now, transfer_number number,
                               const base::node_id& from, wire::piece_answer&& m,
                               part_effects& out) {
    auto& t = transfers_.at(number);
    auto& h = t.holders.at(from);
    // Nobody asked for pieces that are not wanted.
    if (t.pieces[m.index] == piece::unwanted) return;
    if (t.pieces[m.index] == piece::done || h.lied) return;
    base::blob_piece got{m.index, std::move(m.bytes), std::move(m.path)};
    if (!base::piece_verifies(t.ref, got)) {
        h.lied = true;
        out.blame(from, false_piece_weight, "sent a false piece of blob " + t.ref.root.brief());
        give_up(t, from, out);
        if (!fail_if_hopeless(number, out)) ask_all(now, out);
        return;
    }
    h.misses = 0;
    // It may have come late, after the request went to another holder: that answer will find it
    // done.
    if (t.pieces[got.index] == piece::asked) --t.asked;
    t.pieces[got.index] = piece::done;
    t.again.erase(got.index);
    ++t.done;
    const auto ref = t.ref;
    out.shell.push_back(store_piece{ref, std::move(got)});
    if (t.done == t.wanted) {
        finish(number, out);
        out.shell.push_back(blob_complete{ref});
    }
}

void blob_transfer::missed(base::time_point now, transfer_number number, const base::node_id& from,
                           wire::piece_status status, part_effects& out) {
    auto& t = transfers_.at(number);
    auto& h = t.holders.at(from);
    if (h.given_up) return;
    if (status == wire::piece_status::busy) {
        h.not_before = now + busy_wait;
        return;
    }
    if (h.not_before > now) return;  // several answers to one volley of requests count once
    h.not_before = now + first_wait * (std::int64_t{1} << h.misses);
    if (++h.misses < misses_max) return;
    give_up(t, from, out);
    fail_if_hopeless(number, out);
}

void blob_transfer::asked(const base::node_id& from, const wire::piece_request& m,
                          part_effects& out) {
    auto& p = peers_.at(from);
    if (p.reads >= config_.reads_per_peer || readings_.size() >= config_.reads_total) {
        out.send(from, wire::piece_answer{m.ref, wire::piece_status::busy, m.index, {}, {}});
        return;
    }
    ++p.reads;
    const auto number = next_reading_++;
    readings_[number] = {from, m.ref, m.index};
    out.shell.push_back(read_piece{number, m.ref, m.index, from});
}

void blob_transfer::read(const piece_read& e, part_effects& out) {
    const auto at = readings_.find(e.request);
    if (at == readings_.end()) return;
    const auto r = at->second;
    readings_.erase(at);
    --peers_.at(r.node).reads;
    wire::piece_answer answer{r.ref, wire::piece_status::not_found, r.index, {}, {}};
    // Checked before it leaves: a disk that rots must not make us look like liars.
    if (e.piece && e.piece->index == r.index && base::piece_verifies(r.ref, *e.piece)) {
        answer.status = wire::piece_status::found;
        answer.bytes = e.piece->bytes;
        answer.path = e.piece->path;
    }
    out.send(r.node, std::move(answer));
}

void blob_transfer::tick(base::time_point now, part_effects& out) {
    ticked_ = now;
    limited_ = false;
    for (auto& [node, p] : peers_) {
        if (p.asked == 0 || p.silent_since + config_.piece_timeout > now) continue;
        p.not_before = now + silence_wait;
        release_all_of(node);
    }
    ask_all(now, out);
}

base::time_point blob_transfer::next_deadline() const {
    auto due = limited_ ? paid_until_ - ask_ahead : base::time_point::max();
    for (const auto& [node, p] : peers_) {
        if (p.asked > 0) due = std::min(due, p.silent_since + config_.piece_timeout);
        const auto listed = by_holder_.find(node);
        if (listed == by_holder_.end()) continue;
        if (p.not_before > ticked_) due = std::min(due, p.not_before);
        for (const auto number : listed->second) {
            const auto& h = transfers_.at(number).holders.at(node);
            if (h.not_before > ticked_) due = std::min(due, h.not_before);
        }
    }
    return due;
}

std::vector<transfer_view> blob_transfer::views() const {
    std::vector<transfer_view> out;
    for (const auto& [number, t] : transfers_) {
        const auto alive = std::count_if(t.holders.begin(), t.holders.end(),
                                         [](const auto& h) { return !h.second.given_up; });
        out.push_back({t.ref, t.done, t.asked, static_cast<std::uint64_t>(alive)});
    }
    return out;
}

void blob_transfer::check() const {
    base::ensure(requests_.size() <= config_.pieces_total, "requests are bounded");
    base::ensure(readings_.size() <= config_.reads_total, "reads are bounded");
    base::ensure(transfers_.size() == numbers_.size(), "every transfer has its number");
    std::map<base::node_id, std::size_t> asked;
    std::map<transfer_number, std::size_t> per_transfer;
    for (const auto& key : requests_) {
        ++asked[key.node];
        ++per_transfer[key.transfer];
        base::ensure(transfers_.contains(key.transfer), "requests belong to transfers");
    }
    for (const auto& [node, p] : peers_) {
        base::ensure(p.asked == asked[node] && p.asked <= config_.pieces_per_peer,
                     "requests of a peer are counted");
        asked.erase(node);
    }
    base::ensure(asked.empty() || asked.rbegin()->second == 0, "only linked peers are asked");
    for (const auto& [number, t] : transfers_) {
        const auto count = [&](piece p) {
            return static_cast<std::uint64_t>(std::count(t.pieces.begin(), t.pieces.end(), p));
        };
        base::ensure(count(piece::done) == t.done && count(piece::asked) == t.asked,
                     "pieces are counted");
        base::ensure(t.asked <= per_transfer[number], "asked pieces have requests");
        base::ensure(t.pieces.size() - count(piece::unwanted) == t.wanted, "wanted ones too");
        base::ensure(t.done < t.wanted, "complete transfers are gone");
    }
}

}  // namespace tequio::p2p
