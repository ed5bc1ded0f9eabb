/// A naive twin of blob transfer: whatever holders answer (truth, lies, nothing, busy, silence) and
/// in whatever order, the pieces stored are exactly the blob's, each once, and the end is the right
/// one.

#include <rapidcheck.h>
#include <boost/test/unit_test.hpp>

#include <set>

#include "tests/unit/p2p/virtual_swarm.hpp"

using namespace tequio;
using namespace tequio::test;

BOOST_AUTO_TEST_SUITE(network_twin)

BOOST_AUTO_TEST_CASE(blob_transfer_stores_each_true_piece_once) {
    BOOST_TEST(rc::check("transfer", [] {
        const auto seed = *rc::gen::arbitrary<std::uint64_t>();
        base::rng chance(seed);
        const auto blob = bytes_of(seed, chance.below(9 * base::piece_size_bytes));
        const auto ref = base::blob_ref_of(blob);
        const p2p::identity self(key_of(1));
        p2p::network core({}, self, base::rng(seed));
        base::time_point now{1s};
        std::vector<base::node_id> holders;
        for (std::uint64_t i = 0; i < 3; ++i)
            holders.push_back(p2p::identity(key_of(i + 2)).node());
        std::set<std::uint64_t> lying;
        for (std::uint64_t i = 0; i < 2; ++i) {
            if (chance.chance(0.3)) lying.insert(i);
        }
        std::set<std::uint64_t> stored;
        bool complete = false;
        std::uint64_t next_link = 1;
        std::map<std::uint64_t, std::uint64_t> holder_of_link;
        std::vector<std::pair<std::uint64_t, p2p::wire::piece_request>> asked;

        auto drain = [&](p2p::network_effects& out) {
            for (auto& e : out) {
                if (auto* piece = std::get_if<p2p::store_piece>(&e)) {
                    RC_ASSERT(!complete);
                    RC_ASSERT(base::piece_verifies(ref, piece->piece));
                    RC_ASSERT(stored.insert(piece->piece.index).second);
                } else if (std::holds_alternative<p2p::blob_complete>(e)) {
                    RC_ASSERT(!complete);
                    complete = true;
                } else if (std::holds_alternative<p2p::blob_failed>(e)) {
                    RC_FAIL("the third holder is honest and always comes back");
                } else if (auto* sent = std::get_if<p2p::link_send>(&e)) {
                    const auto m = p2p::wire::decode_message(sent->bytes);
                    if (auto* r = std::get_if<p2p::wire::piece_request>(&*m)) {
                        asked.emplace_back(sent->link.value, *r);
                    }
                } else if (auto* gone = std::get_if<p2p::close_link>(&e)) {
                    holder_of_link.erase(gone->link.value);
                }
            }
            out.clear();
        };
        auto handle = [&](p2p::network_event e) {
            p2p::network_effects out;
            RC_ASSERT(core.handle(now, std::move(e), out).has_value());
            core.check();
            drain(out);
        };
        handle(p2p::fetch_blob{ref, holders, {}});
        for (int step = 0; step < 4000 && !complete; ++step) {
            now += base::duration(chance.below(200'000'000));
            const auto who = chance.below(3);
            if (!core.linked(holders[who]) && chance.chance(0.5)) {
                holder_of_link[next_link] = who;
                handle(p2p::link_up{{next_link++}, holders[who], {"10.0.0.1", 1}, {}, false});
            } else if (chance.chance(0.02) && !holder_of_link.empty()) {
                const auto link = holder_of_link.begin()->first;
                holder_of_link.erase(link);
                handle(p2p::link_down{{link}, {}});
            } else if (!asked.empty()) {
                const auto pick = chance.below(asked.size());
                const auto [link, r] = asked[pick];
                asked.erase(asked.begin() + static_cast<std::ptrdiff_t>(pick));
                if (!holder_of_link.contains(link) || chance.chance(0.05)) continue;
                auto piece = piece_of(blob, r.index);
                p2p::wire::piece_answer answer{ref, p2p::wire::piece_status::found, r.index,
                                               piece.bytes, piece.path};
                const auto holder = holder_of_link.at(link);
                if (lying.contains(holder) && !answer.bytes.empty()) answer.bytes[0] ^= 1;
                if (chance.chance(0.1)) {
                    answer = {ref,
                              holder < 2 && chance.chance(0.5) ? p2p::wire::piece_status::not_found
                                                               : p2p::wire::piece_status::busy,
                              r.index,
                              {},
                              {}};
                }
                handle(p2p::link_message{{link}, p2p::wire::encode(answer)});
            }
            if (core.next_deadline() <= now) handle(p2p::tick{});
        }
        RC_ASSERT(complete);
        RC_ASSERT(stored.size() == ref.pieces());
        RC_ASSERT(core.transfers().empty());
    }));
}

BOOST_AUTO_TEST_SUITE_END()
