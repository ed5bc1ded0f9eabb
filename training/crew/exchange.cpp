#include "training/crew/exchange.hpp"

#include <algorithm>

#include "base/ensure.hpp"

namespace tequio::training::crew_protocol {
namespace {

/// Fetches that may fail before a lane counts as lost (guess: p2p has tried every holder each
/// time).
constexpr unsigned failures_max = 3;
/// What takes an uplink of 20 Mbit/s longer than some round trips (guess).
constexpr std::uint64_t in_turn_min_bytes = std::uint64_t{4} << 20;

}  // namespace

void exchange::begin(std::uint64_t round, std::vector<base::digest> expected,
                     const round_book* book, base::piece_run pieces) {
    base::ensure(expected.empty() || expected.size() == shape_.lanes, "a digest a lane");
    active_ = true;
    round_ = round;
    pieces_ = pieces;
    expected_ = std::move(expected);
    helpers_.clear();
    helpers_alone_ = false;
    refs_.assign(shape_.lanes, std::nullopt);
    wanted_.clear();
    lost_.clear();
    got_ = 0;
    sum.reset();
    for (std::uint32_t lane = 0; lane < shape_.lanes; ++lane) {
        if (ref_of(book, lane)) wanted_.insert(lane);
    }
}

void exchange::lean_on(std::vector<base::node_id> helpers, bool alone) {
    helpers_ = std::move(helpers);
    helpers_alone_ = alone;
}

void exchange::adopt(std::uint64_t round, const std::vector<base::digest>& contributions,
                     work_outcome made) {
    begin(round, {}, nullptr);
    for (std::uint32_t lane = 0; lane < shape_.lanes; ++lane) {
        refs_[lane] = base::blob_ref{contributions[lane], shape_.contribution_bytes};
    }
    got_ = shape_.lanes;
    sum = std::move(made);
}

void exchange::end() {
    active_ = false;
    refs_.clear();
    wanted_.clear();
    lost_.clear();
    got_ = 0;
    sum.reset();
}

std::optional<base::blob_ref> exchange::ref_of(const round_book* book, std::uint32_t lane) const {
    if (!expected_.empty()) return base::blob_ref{expected_[lane], shape_.contribution_bytes};
    if (book == nullptr) return std::nullopt;
    const auto* k = book->resolved(lane);
    if (k == nullptr || k->said.divergence) return std::nullopt;
    return k->said.blob();
}

/// Whose lane it is to give: of the nodes that have computed it the first.
std::optional<base::node_id> exchange::maker_of(const round_book* book, std::uint32_t lane) const {
    const auto* k = book == nullptr ? nullptr : book->resolved(lane);
    if (k == nullptr) return std::nullopt;
    return k->said.node;
}

bool exchange::awaits(const base::node_id& node, const round_book* book) const {
    return active_ && std::any_of(wanted_.begin(), wanted_.end(), [&](std::uint32_t lane) {
               return !lost_.contains(lane) && maker_of(book, lane) == node;
           });
}

std::uint64_t exchange::run_bytes() const {
    const base::blob_ref any{{}, shape_.contribution_bytes};
    const auto run = pieces_.within(any);
    return std::min(run.count * base::piece_size_bytes, shape_.contribution_bytes);
}

void exchange::offer(std::uint32_t lane) {
    if (!active_ || lane >= shape_.lanes) return;
    wanted_.insert(lane);
}

void exchange::step(base::time_point now, const round_book* book, const roster& members,
                    blob_desk& desk, std::vector<crew_effect>& out, std::size_t fetches_max) {
    if (!active_) return;
    lost_.clear();
    // One lane of a node after the other, oldest question first: shared among all, none would be
    // safe elsewhere before the last one is.
    const bool in_turn = run_bytes() >= in_turn_min_bytes;
    std::set<base::node_id> busy;
    std::size_t under_way = 0;
    for (const std::uint32_t lane : wanted_) {
        const auto ref = ref_of(book, lane);
        if (!ref || !desk.asked(*ref, pieces_)) continue;
        ++under_way;
        const auto maker = in_turn ? maker_of(book, lane) : std::nullopt;
        if (maker) busy.insert(*maker);
    }
    for (auto it = wanted_.begin(); it != wanted_.end();) {
        const std::uint32_t lane = *it;
        const auto ref = ref_of(book, lane);
        if (refs_[lane] && refs_[lane] != ref) {
            refs_[lane].reset();
            --got_;
            sum.reset();
        }
        if (!ref || refs_[lane]) {
            it = wanted_.erase(it);
            continue;
        }
        blob_desk::wish w{*ref, {}, round_, false, pieces_};
        if (book != nullptr && !helpers_alone_) {
            for (const auto& k : book->claims(lane)) {
                if (k.said.result != ref->root) continue;
                if (members.present(now, k.said.node)) w.holders.push_back(k.said.node);
            }
        }
        for (const auto& node : helpers_) {
            const bool named =
                std::find(w.holders.begin(), w.holders.end(), node) != w.holders.end();
            if (!named && members.present(now, node)) w.holders.push_back(node);
        }
        if (w.holders.empty() && !expected_.empty()) {
            // Whoever closed the round had them all.
            for (const auto& node : members.present(now)) {
                if (members.find(node)->said.chronicle > round_) w.holders.push_back(node);
            }
        }
        const auto maker = in_turn && !helpers_alone_ ? maker_of(book, lane) : std::nullopt;
        const bool fresh = !desk.asked(*ref, pieces_) && !desk.here(*ref, pieces_);
        const bool waits =
            fresh && maker && members.present(now, *maker) && !busy.insert(*maker).second;
        if (waits || (fresh && under_way >= fetches_max)) {
            ++it;
            continue;
        }
        const bool here = desk.want(now, w, out);
        if (fresh && desk.asked(*ref, pieces_)) ++under_way;
        if (here) {
            refs_[lane] = ref;
            ++got_;
            it = wanted_.erase(it);
            continue;
        }
        // The store here may have it even when nobody else has: one failure says no.
        const unsigned patience = w.holders.empty() ? 1 : failures_max;
        if (desk.failures(*ref, pieces_) >= patience) lost_.insert(lane);
        if (!desk.has_room() && !desk.asked(*ref, pieces_)) break;
        ++it;
    }
}

std::vector<base::blob_ref> exchange::inputs() const {
    base::ensure(complete(), "sums are made of every lane");
    std::vector<base::blob_ref> out;
    for (const auto& ref : refs_) out.push_back(*ref);
    return out;
}

std::optional<std::uint32_t> exchange::lost() const {
    if (lost_.empty()) return std::nullopt;
    return *lost_.begin();
}

}  // namespace tequio::training::crew_protocol
