/// A naive twin of blob transfer: whatever holders answer (truth, lies, nothing, busy, silence) and
/// in whatever order, the pieces stored are exactly the blob's, each once, nobody is asked for what
/// it was not named for, and each fetch has the right end.

#include <rapidcheck.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <set>

#include "tests/unit/p2p/virtual_swarm.hpp"

using namespace tequio;
using namespace tequio::test;

namespace {

/// Fetches of one blob, or of runs of its pieces that may meet, one after the other or at once.
/// There are three holders. The first two may lie, and are named for some; the third is named for
/// all, is honest, and always comes back.
class story {
public:
    explicit story(std::uint64_t seed)
        : chance_(seed),
          blob_(bytes_of(seed, chance_.below(9 * base::piece_size_bytes))),
          ref_(base::blob_ref_of(blob_)),
          self_(key_of(1)),
          core_({}, self_, base::rng(seed)) {
        for (std::uint64_t i = 0; i < 3; ++i) {
            holders_.push_back(p2p::identity(key_of(i + 2)).node());
            if (i < 2 && chance_.chance(0.3)) lying_.insert(i);
        }
    }

    void run() {
        fetch();
        auto more = chance_.below(4);
        for (int step = 0; step < 4000 && (more > 0 || under_way()); ++step) {
            now_ += base::duration(static_cast<std::int64_t>(chance_.below(200'000'000)));
            if (more > 0 && chance_.chance(0.3)) {
                --more;
                fetch();
            }
            if (chance_.chance(0.005)) cancel();
            take_step();
            if (core_.next_deadline() <= now_) handle(p2p::tick{});
        }
        RC_ASSERT(!under_way());
        RC_ASSERT(core_.transfers().empty());
    }

private:
    struct wish {
        base::piece_run pieces;
        std::set<std::uint64_t> holders;
        bool over = false;

        bool covers(std::uint64_t index, const base::blob_ref& ref) const {
            const auto run = pieces.within(ref);
            return index >= run.first && index < run.first + run.count;
        }
    };

    bool under_way() const {
        return std::any_of(wishes_.begin(), wishes_.end(), [](const wish& w) { return !w.over; });
    }
    std::vector<wish>::iterator open_wish(const base::piece_run& pieces) {
        return std::find_if(wishes_.begin(), wishes_.end(),
                            [&](const wish& w) { return !w.over && w.pieces == pieces; });
    }

    void fetch() {
        wish w;
        if (chance_.chance(0.7)) {
            w.pieces.first = chance_.below(ref_.pieces());
            w.pieces.count = 1 + chance_.below(ref_.pieces() - w.pieces.first);
        }
        std::vector<base::node_id> named;
        for (std::uint64_t i = 0; i < 3; ++i) {
            if (i < 2 && chance_.chance(0.4)) continue;
            w.holders.insert(i);
            named.push_back(holders_[i]);
        }
        if (const auto known = open_wish(w.pieces); known != wishes_.end()) {
            known->holders.merge(w.holders);
        } else {
            wishes_.push_back(w);
        }
        std::vector<bool> have(ref_.pieces());
        for (const auto index : stored_) have[index] = true;
        handle(p2p::fetch_blob{ref_, named, have, w.pieces});
        if (chance_.chance(0.3)) {
            handle(p2p::set_download_limit{100'000 + chance_.below(10'000'000)});
        }
    }

    void cancel() {
        auto& w = wishes_[chance_.below(wishes_.size())];
        w.over = true;
        handle(p2p::cancel_fetch{ref_, w.pieces});
    }

    void take_step() {
        const auto who = chance_.below(3);
        if (!core_.linked(holders_[who]) && chance_.chance(0.5)) {
            holder_of_link_[next_link_] = who;
            handle(p2p::link_up{{next_link_++}, holders_[who], {"10.0.0.1", 1}, {}, false});
        } else if (chance_.chance(0.02) && !holder_of_link_.empty()) {
            const auto link = holder_of_link_.begin()->first;
            holder_of_link_.erase(link);
            handle(p2p::link_down{{link}, {}});
        } else if (!asked_.empty()) {
            const auto pick = chance_.below(asked_.size());
            const auto [link, request] = asked_[pick];
            asked_.erase(asked_.begin() + static_cast<std::ptrdiff_t>(pick));
            if (!holder_of_link_.contains(link) || chance_.chance(0.05)) return;
            const auto answer = answer_of(holder_of_link_.at(link), request.index);
            handle(p2p::link_message{{link}, p2p::wire::encode(answer)});
        }
    }

    p2p::wire::piece_answer answer_of(std::uint64_t holder, std::uint64_t index) {
        using p2p::wire::piece_status;
        if (chance_.chance(0.1)) {
            const bool lacks = holder < 2 && chance_.chance(0.5);
            return {ref_, lacks ? piece_status::not_found : piece_status::busy, index, {}, {}};
        }
        auto piece = piece_of(blob_, index);
        if (lying_.contains(holder) && !piece.bytes.empty()) piece.bytes[0] ^= 1;
        return {ref_, piece_status::found, index, std::move(piece.bytes), std::move(piece.path)};
    }

    void handle(p2p::network_event event) {
        p2p::network_effects out;
        RC_ASSERT(core_.handle(now_, std::move(event), out).has_value());
        core_.check();
        for (auto& e : out) judge(e);
    }

    bool wanted_of(std::uint64_t index, std::uint64_t holder) const {
        return std::any_of(wishes_.begin(), wishes_.end(), [&](const wish& w) {
            return !w.over && w.covers(index, ref_) && w.holders.contains(holder);
        });
    }

    void judge(p2p::network_effect& effect) {
        if (auto* piece = std::get_if<p2p::store_piece>(&effect)) {
            RC_ASSERT(wanted_of(piece->piece.index, 2));
            RC_ASSERT(base::piece_verifies(ref_, piece->piece));
            RC_ASSERT(stored_.insert(piece->piece.index).second);
        } else if (const auto* complete = std::get_if<p2p::blob_complete>(&effect)) {
            const auto w = open_wish(complete->pieces);
            RC_ASSERT(w != wishes_.end());
            w->over = true;
            for (std::uint64_t i = 0; i < ref_.pieces(); ++i) {
                RC_ASSERT(stored_.contains(i) || !w->covers(i, ref_));
            }
        } else if (std::holds_alternative<p2p::blob_failed>(effect)) {
            RC_FAIL("one holder is honest and always comes back");
        } else if (auto* sent = std::get_if<p2p::link_send>(&effect)) {
            const auto m = p2p::wire::decode_message(sent->bytes);
            if (const auto* request = std::get_if<p2p::wire::piece_request>(&*m)) {
                RC_ASSERT(wanted_of(request->index, holder_of_link_.at(sent->link.value)));
                asked_.emplace_back(sent->link.value, *request);
            }
        } else if (auto* gone = std::get_if<p2p::close_link>(&effect)) {
            holder_of_link_.erase(gone->link.value);
        }
    }

    base::rng chance_;
    base::byte_vector blob_;
    base::blob_ref ref_;
    p2p::identity self_;
    p2p::network core_;
    base::time_point now_{1s};
    std::vector<base::node_id> holders_;
    std::set<std::uint64_t> lying_;
    std::vector<wish> wishes_;
    std::set<std::uint64_t> stored_;
    std::uint64_t next_link_ = 1;
    std::map<std::uint64_t, std::uint64_t> holder_of_link_;
    std::vector<std::pair<std::uint64_t, p2p::wire::piece_request>> asked_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(network_twin)

BOOST_AUTO_TEST_CASE(blob_transfer_stores_each_true_piece_once) {
    BOOST_TEST(rc::check("transfer", [] { story(*rc::gen::arbitrary<std::uint64_t>()).run(); }));
}

BOOST_AUTO_TEST_SUITE_END()
