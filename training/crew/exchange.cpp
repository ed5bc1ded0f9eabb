#include "training/crew/exchange.hpp"

#include <algorithm>
#include <utility>

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
                     const round_book* book, base::piece_run pieces, contribution_run lanes) {
    base::ensure(expected.empty() || expected.size() == shape_.lanes, "a digest a lane");
    active_ = true;
    round_ = round;
    pieces_ = pieces;
    lanes_ = lanes.count == 0 ? contribution_run{0, shape_.lanes} : lanes;
    expected_ = std::move(expected);
    helpers_.clear();
    helpers_alone_ = false;
    refs_.assign(shape_.lanes, std::nullopt);
    wanted_.clear();
    lost_.clear();
    got_ = 0;
    sum.reset();
    others_ = true;
    for (auto lane = lanes_.first; lane < lanes_.end(); ++lane) {
        offer(static_cast<std::uint32_t>(lane));
    }
    std::erase_if(wanted_, [&](std::uint32_t lane) { return !ref_of(book, lane); });
}

void exchange::lean_on(std::vector<base::node_id> helpers, bool alone) {
    others_ = others_ || helpers_ != helpers || helpers_alone_ != alone;
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
    if (!active_ || lane < lanes_.first || lane >= lanes_.end()) return;
    wanted_.insert(lane);
    others_ = true;
}

/// Looked at after every event: most change nothing here.
bool exchange::nothing_new(base::time_point now, const round_book* book, const roster& members,
                           const blob_desk& desk) {
    const auto fold = book == nullptr ? 0 : book->fold();
    const auto stamp = members.stamp(now);
    others_ = others_ || fold != fold_ || stamp != stamp_;
    fold_ = fold;
    stamp_ = stamp;
    const auto changes = short_of_room_ ? desk.changes() : desk.changes(pieces_);
    return !others_ && changes == changes_ && now < due_;
}

/// Who may have a lane, or those pieces of it.
std::vector<base::node_id> exchange::holders_of(base::time_point now, const round_book* book,
                                                const roster& members, std::uint32_t lane,
                                                const base::blob_ref& ref) const {
    std::vector<base::node_id> out;
    if (book != nullptr && !helpers_alone_) {
        for (const auto& k : book->claims(lane)) {
            if (k.said.result != ref.root) continue;
            if (members.reachable(now, k.said.node)) out.push_back(k.said.node);
        }
    }
    for (const auto& node : helpers_) {
        const bool named = std::find(out.begin(), out.end(), node) != out.end();
        if (!named && members.present(now, node)) out.push_back(node);
    }
    if (out.empty() && !expected_.empty()) {
        // Whoever closed the round had them all.
        members.each_present(now, [&](const base::node_id& node, const member& m) {
            if (m.said.chronicle > round_) out.push_back(node);
        });
    }
    return out;
}

void exchange::step(base::time_point now, const round_book* book, const roster& members,
                    blob_desk& desk, std::vector<crew_effect>& out, std::size_t fetches_max) {
    if (!active_ || nothing_new(now, book, members, desk)) return;
    const bool others = std::exchange(others_, false);
    short_of_room_ = false;
    due_ = base::time_point::max();
    if (others) lost_.clear();
    // One lane of a node after the other, oldest question first: shared among all, none would be
    // safe elsewhere before the last one is.
    const bool in_turn = run_bytes() >= in_turn_min_bytes;
    std::set<base::node_id> busy;
    std::size_t under_way = 0;
    std::vector<std::pair<base::blob_ref, blob_desk::standing>> looks;
    std::erase_if(wanted_, [&](std::uint32_t lane) {
        const auto ref = ref_of(book, lane);
        if (refs_[lane] && refs_[lane] != ref) {
            refs_[lane].reset();
            --got_;
            sum.reset();
        }
        if (!ref || refs_[lane]) return true;
        const auto& look = looks.emplace_back(*ref, desk.look(*ref, pieces_)).second;
        if (look.asked) {
            ++under_way;
            const auto maker = in_turn ? maker_of(book, lane) : std::nullopt;
            if (maker) busy.insert(*maker);
        }
        return false;
    });
    auto next_look = looks.begin();
    for (auto it = wanted_.begin(); it != wanted_.end();) {
        const std::uint32_t lane = *it;
        const auto& [ref, look] = *next_look++;
        if (look.here) {
            refs_[lane] = ref;
            ++got_;
            lost_.erase(lane);
            it = wanted_.erase(it);
            continue;
        }
        ++it;
        // Asked, of the same nodes.
        if (look.asked && !others) continue;
        const auto maker = in_turn && !helpers_alone_ ? maker_of(book, lane) : std::nullopt;
        const bool waits =
            !look.asked && maker && members.reachable(now, *maker) && !busy.insert(*maker).second;
        if (waits || (!look.asked && under_way >= fetches_max)) {
            lost_.erase(lane);
            continue;
        }
        blob_desk::wish w{ref, holders_of(now, book, members, lane, ref), round_, false, pieces_};
        desk.want(now, w, out);
        const auto after = desk.look(ref, pieces_);
        if (after.asked && !look.asked) ++under_way;
        // Without room for it the next change says when there is.
        if (!after.asked && after.next > now) due_ = std::min(due_, after.next);
        // The store here may have it even when nobody else has: one failure says no.
        const unsigned patience = w.holders.empty() ? 1 : failures_max;
        if (after.failures >= patience) {
            lost_.insert(lane);
        } else {
            lost_.erase(lane);
        }
        if (!desk.has_room() && !after.asked) {
            short_of_room_ = true;
            break;
        }
    }
    changes_ = short_of_room_ ? desk.changes() : desk.changes(pieces_);
}

std::vector<base::blob_ref> exchange::inputs() const {
    base::ensure(complete(), "sums are made of every lane");
    std::vector<base::blob_ref> out;
    for (auto lane = lanes_.first; lane < lanes_.end(); ++lane) out.push_back(*refs_[lane]);
    return out;
}

std::optional<std::uint32_t> exchange::lost() const {
    if (lost_.empty()) return std::nullopt;
    return *lost_.begin();
}

}  // namespace tequio::training::crew_protocol
