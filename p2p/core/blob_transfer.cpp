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

base::result<void> blob_transfer::well_formed(const fetch_blob& command) {
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
    return {};
}

base::result<void> blob_transfer::fetch(base::time_point now, const fetch_blob& command,
                                        part_effects& out) {
    TEQUIO_CHECK(well_formed(command));
    TEQUIO_TRY(const auto number, begin(command));
    auto& t = transfers_.at(number);
    const auto& liars = blobs_.at(t.ref).liars;
    for (const auto& node : command.holders) {
        if (node == self_ || t.holders.size() >= blob_holders_max) continue;
        const auto [at, is_new] = t.holders.try_emplace(node);
        const bool lied = liars.contains(node);
        if (lied) at->second.given_up = true;
        if (lied || (!is_new && !at->second.given_up)) continue;
        at->second = {};
        by_holder_[node].insert(number);
        out.wants.push_back(node);
    }
    if (t.left == 0) {
        complete(number, out);
        return {};
    }
    if (fail_if_hopeless(number, out)) return {};
    ask_all(now, out);
    return {};
}

void blob_transfer::cancel(const cancel_fetch& command, part_effects& out) {
    for (const auto number : transfers_of(command.ref)) {
        if (!command.pieces || transfers_.at(number).pieces == *command.pieces) finish(number, out);
    }
}

/// The fetch under way, or a new one. What other fetches of the blob want keeps its standing.
base::result<blob_transfer::transfer_number> blob_transfer::begin(const fetch_blob& command) {
    const auto& ref = command.ref;
    if (const auto b = blobs_.find(ref); b != blobs_.end()) {
        const auto known = b->second.transfers.find(command.pieces);
        if (known != b->second.transfers.end()) return known->second;
    }
    if (transfers_.size() >= config_.fetches_max) {
        return fail(errc::full, "too many blobs are being fetched");
    }
    const auto number = next_number_++;
    auto& b = blobs_[ref];
    b.transfers[command.pieces] = number;
    b.pieces.resize(ref.pieces(), piece::unwanted);
    auto& t = transfers_[number];
    t.ref = ref;
    t.pieces = command.pieces;
    t.run = command.pieces.within(ref);
    t.start = rng_.below(t.run.count);
    for (auto i = t.run.first; i < t.run.first + t.run.count; ++i) {
        if (b.pieces[i] == piece::unwanted) {
            const bool here = !command.have.empty() && command.have[i];
            b.pieces[i] = here ? piece::done : piece::missing;
        }
        if (b.pieces[i] != piece::done) ++t.left;
    }
    return number;
}

std::vector<blob_transfer::transfer_number> blob_transfer::transfers_of(
    const base::blob_ref& ref) const {
    std::vector<transfer_number> out;
    if (const auto b = blobs_.find(ref); b != blobs_.end()) {
        for (const auto& [pieces, number] : b->second.transfers) out.push_back(number);
    }
    return out;
}

// The next piece nobody was asked for: given-back ones first, then onwards from the start point.
std::optional<std::uint64_t> blob_transfer::next_piece(shared_blob& b, transfer& t) {
    const auto given_back = b.again.lower_bound(t.run.first);
    if (given_back != b.again.end() && t.covers(*given_back)) {
        const auto index = *given_back;
        b.again.erase(given_back);
        return index;
    }
    while (t.cursor < t.run.count) {
        const auto index = t.run.first + (t.start + t.cursor++) % t.run.count;
        if (b.pieces[index] == piece::missing) return index;
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
        auto& b = blobs_.at(t.ref);
        while (p->second.asked < config_.pieces_per_peer && p->second.owed.size() < owed_max &&
               requests_.size() < config_.pieces_total) {
            if (limit_reached(now)) {
                limited_ = true;
                return;
            }
            const auto index = next_piece(b, t);
            if (!index) break;
            charge(now, t.ref.piece_size(*index));
            b.pieces[*index] = piece::asked;
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
    auto& b = blobs_.at(transfers_.at(key.transfer).ref);
    if (b.pieces[key.index] != piece::asked) return;
    b.pieces[key.index] = piece::missing;
    b.again.insert(key.index);
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
    const auto number = blobs_.at(t.ref).transfers.at(t.pieces);
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
    auto& b = blobs_.at(t.ref);
    b.transfers.erase(t.pieces);
    if (b.transfers.empty()) {
        blobs_.erase(t.ref);
    } else {
        const auto others = transfers_of(t.ref);
        for (auto i = t.run.first; i < t.run.first + t.run.count; ++i) {
            if (std::any_of(others.begin(), others.end(),
                            [&](auto other) { return transfers_.at(other).covers(i); })) {
                continue;
            }
            b.pieces[i] = piece::unwanted;
            b.again.erase(i);
        }
    }
    transfers_.erase(number);
}

void blob_transfer::complete(transfer_number number, part_effects& out) {
    const auto& t = transfers_.at(number);
    const blob_complete all{t.ref, t.pieces};
    finish(number, out);
    out.shell.push_back(all);
}

bool blob_transfer::fail_if_hopeless(transfer_number number, part_effects& out) {
    auto& t = transfers_.at(number);
    const auto& liars = blobs_.at(t.ref).liars;
    std::size_t lied = 0;
    for (const auto& [node, h] : t.holders) {
        if (!h.given_up) return false;
        if (liars.contains(node)) ++lied;
    }
    out.shell.push_back(blob_failed{t.ref,
                                    t.holders.empty()
                                        ? "no other node is known to hold it"
                                        : "none of the " + std::to_string(t.holders.size()) +
                                              " nodes asked has it (" + std::to_string(lied) +
                                              " sent false pieces)",
                                    t.pieces});
    finish(number, out);
    return true;
}

void blob_transfer::answered(base::time_point now, const base::node_id& from,
                             wire::piece_answer&& m, part_effects& out) {
    peers_.at(from).silent_since = now;
    if (!take_owed(now, from, m, out)) return;
    const bool found = m.status == wire::piece_status::found;
    for (const auto number : transfers_of(m.ref)) {
        const request_key key{from, number, m.index};
        if (!requests_.contains(key)) continue;
        release(key);
        if (found) continue;
        take_back(m.ref.piece_size(m.index));
        missed(now, number, from, m.status, out);
    }
    if (found) {
        take_piece(now, from, std::move(m), out);
        ask(now, from, out);
    } else {
        // Others may take over what this holder gave back.
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

void blob_transfer::take_piece(base::time_point now, const base::node_id& from,
                               wire::piece_answer&& m, part_effects& out) {
    const auto at = blobs_.find(m.ref);
    if (at == blobs_.end()) return;  // cancelled or complete
    auto& b = at->second;
    // It may be of a fetch that is over, or have come after another holder's.
    if (b.pieces[m.index] == piece::unwanted || b.pieces[m.index] == piece::done) return;
    if (b.liars.contains(from)) return;
    base::blob_piece got{m.index, std::move(m.bytes), std::move(m.path)};
    if (!base::piece_verifies(m.ref, got)) return take_lie(now, from, m.ref, out);
    // It may have come late, after the request went to another holder: that answer will find it
    // done.
    b.pieces[m.index] = piece::done;
    b.again.erase(m.index);
    out.shell.push_back(store_piece{m.ref, std::move(got)});
    for (const auto number : transfers_of(m.ref)) {
        auto& t = transfers_.at(number);
        if (!t.covers(m.index)) continue;
        if (const auto h = t.holders.find(from); h != t.holders.end()) h->second.misses = 0;
        if (--t.left == 0) complete(number, out);
    }
}

// None of what it says of that blob is believed, whatever pieces it was named for.
void blob_transfer::take_lie(base::time_point now, const base::node_id& from,
                             const base::blob_ref& ref, part_effects& out) {
    blobs_.at(ref).liars.insert(from);
    out.blame(from, false_piece_weight, "sent a false piece of blob " + ref.root.brief());
    for (const auto number : transfers_of(ref)) {
        auto& t = transfers_.at(number);
        if (!t.holders.contains(from)) continue;
        give_up(t, from, out);
        fail_if_hopeless(number, out);
    }
    ask_all(now, out);
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
        const auto first =
            blobs_.at(t.ref).pieces.begin() + static_cast<std::ptrdiff_t>(t.run.first);
        const auto asked =
            std::count(first, first + static_cast<std::ptrdiff_t>(t.run.count), piece::asked);
        out.push_back({t.ref, t.pieces, t.run.count - t.left, static_cast<std::uint64_t>(asked),
                       static_cast<std::uint64_t>(alive)});
    }
    return out;
}

void blob_transfer::check() const {
    base::ensure(requests_.size() <= config_.pieces_total, "requests are bounded");
    base::ensure(readings_.size() <= config_.reads_total, "reads are bounded");
    std::map<base::node_id, std::size_t> asked;
    std::set<std::pair<base::blob_ref, std::uint64_t>> under_way;
    for (const auto& key : requests_) {
        ++asked[key.node];
        const auto& t = transfers_.at(key.transfer);
        under_way.emplace(t.ref, key.index);
        base::ensure(t.covers(key.index), "requests belong to transfers");
        base::ensure(!t.holders.at(key.node).given_up, "only holders are asked");
    }
    for (const auto& [node, p] : peers_) {
        base::ensure(p.asked == asked[node] && p.asked <= config_.pieces_per_peer,
                     "requests of a peer are counted");
        asked.erase(node);
    }
    base::ensure(asked.empty() || asked.rbegin()->second == 0, "only linked peers are asked");
    std::size_t numbered = 0;
    for (const auto& [ref, b] : blobs_) {
        std::vector<bool> wanted(b.pieces.size());
        for (const auto& [pieces, number] : b.transfers) {
            const auto& t = transfers_.at(number);
            base::ensure(t.ref == ref && t.pieces == pieces && t.left > 0, "of what is not here");
            std::uint64_t left = 0;
            for (auto i = t.run.first; i < t.run.first + t.run.count; ++i) {
                wanted[i] = true;
                left += b.pieces[i] == piece::done ? 0 : 1;
            }
            base::ensure(left == t.left, "pieces are counted");
            ++numbered;
        }
        for (std::uint64_t i = 0; i < wanted.size(); ++i) {
            base::ensure(wanted[i] == (b.pieces[i] != piece::unwanted), "what fetches want");
            base::ensure(!b.again.contains(i) || b.pieces[i] == piece::missing, "given back");
            base::ensure(b.pieces[i] != piece::asked || under_way.contains({ref, i}),
                         "asked pieces have requests");
        }
    }
    base::ensure(numbered == transfers_.size(), "every transfer has its blob");
}

}  // namespace tequio::p2p
