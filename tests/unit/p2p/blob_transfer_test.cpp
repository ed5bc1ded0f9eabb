/// Blobs over virtual links: from several holders, past dead and lying ones, resumed, refused.

#include <boost/test/unit_test.hpp>
#include <functional>
#include <map>
#include <set>

#include "tests/unit/p2p/virtual_swarm.hpp"

using namespace tequio;
using namespace tequio::test;

namespace {

constexpr std::size_t blob_size = 5 * 1024 * 1024 + 12345;

struct three_nodes {
    explicit three_nodes(std::uint64_t seed) : swarm(seed) {
        for (int i = 0; i < 3; ++i) {
            auto& n = swarm.add();
            if (i > 0) swarm.command(n, p2p::add_address{swarm.node(0).where});
        }
        swarm.run_for(10s);
        blob = bytes_of(seed, blob_size);
        ref = base::blob_ref_of(blob);
    }
    virtual_node& fetcher() { return swarm.node(0); }
    virtual_node& first() { return swarm.node(1); }
    virtual_node& second() { return swarm.node(2); }
    void give(virtual_node& n) { n.blobs[ref] = blob; }
    base::result<void> fetch(std::vector<bool> have = {}) {
        return swarm.command(fetcher(),
                             p2p::fetch_blob{ref, {first().id(), second().id()}, std::move(have)});
    }
    base::result<void> fetch_run(base::piece_run run, std::vector<bool> have = {},
                                 std::vector<base::node_id> holders = {}) {
        if (holders.empty()) holders = {first().id(), second().id()};
        return swarm.command(fetcher(),
                             p2p::fetch_blob{ref, std::move(holders), std::move(have), run});
    }
    std::vector<std::uint64_t> pieces_here() {
        std::vector<std::uint64_t> out;
        for (const auto& [index, bytes] : fetcher().pieces[ref]) out.push_back(index);
        return out;
    }
    std::uint64_t strikes_of(virtual_node& n) {
        for (const auto& p : fetcher().core->peers()) {
            if (p.node == n.id()) return p.strikes;
        }
        return 0;
    }
    bool charged(virtual_node& n) { return !fetcher().core->linked(n.id()) || strikes_of(n) > 0; }
    bool complete() { return !fetcher().completed.empty(); }
    bool right() { return fetcher().blobs[ref] == blob; }

    virtual_swarm swarm;
    base::byte_vector blob;
    base::blob_ref ref;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(blob_transfer)

BOOST_AUTO_TEST_CASE(comes_from_two_holders_at_once) {
    three_nodes t(1);
    t.give(t.first());
    t.give(t.second());
    BOOST_REQUIRE(t.fetch());
    BOOST_REQUIRE(t.swarm.run_until([&] { return t.complete(); }, 60s));
    BOOST_TEST(t.right());
    BOOST_TEST(t.first().bytes_sent / base::piece_size_bytes >= 3u);
    BOOST_TEST(t.second().bytes_sent / base::piece_size_bytes >= 3u);
    BOOST_TEST(t.fetcher().core->transfers().empty());
}

BOOST_AUTO_TEST_CASE(comes_no_faster_than_the_limit_and_hardly_slower) {
    for (const std::uint64_t rate : {100'000u, 1'000'000u, 5'000'000u}) {
        three_nodes t(rate);
        t.give(t.first());
        t.give(t.second());
        BOOST_REQUIRE(t.swarm.command(t.fetcher(), p2p::set_download_limit{rate}));
        const auto began = t.swarm.now();
        BOOST_REQUIRE(t.fetch());
        BOOST_REQUIRE(t.swarm.run_until([&] { return t.complete(); }, 120s));
        const auto took = std::chrono::duration<double>(t.swarm.now() - began).count();
        // The last piece may come as soon as it is asked for.
        const double least = (blob_size - 2.0 * base::piece_size_bytes) / static_cast<double>(rate);
        BOOST_TEST_MESSAGE(rate << " B/s: " << took << " s, at least " << least);
        BOOST_TEST(took >= least - 0.2);
        BOOST_TEST(took <= blob_size / static_cast<double>(rate) * 1.02 + 1.0);
        BOOST_TEST(t.right());
    }
}

BOOST_AUTO_TEST_CASE(a_lifted_limit_is_forgotten_at_once) {
    three_nodes t(14);
    t.give(t.first());
    BOOST_REQUIRE(t.swarm.command(t.fetcher(), p2p::set_download_limit{8000}));
    BOOST_REQUIRE(t.fetch());
    t.swarm.run_for(30s);
    BOOST_TEST(t.fetcher().pieces[t.ref].size() == 1u);
    BOOST_REQUIRE(t.swarm.command(t.fetcher(), p2p::set_download_limit{0}));
    BOOST_REQUIRE(t.swarm.run_until([&] { return t.complete(); }, 20s));
    BOOST_TEST(t.right());
}

BOOST_AUTO_TEST_CASE(survives_a_holder_that_dies_midway) {
    three_nodes t(2);
    t.give(t.first());
    t.give(t.second());
    BOOST_REQUIRE(t.fetch());
    t.swarm.run_until([&] { return t.fetcher().pieces[t.ref].size() >= 4; }, 60s);
    BOOST_REQUIRE(!t.complete());
    t.swarm.crash(t.first());
    BOOST_REQUIRE(t.swarm.run_until([&] { return t.complete(); }, 120s));
    BOOST_TEST(t.right());
}

BOOST_AUTO_TEST_CASE(takes_nothing_false_and_never_asks_the_liar_again) {
    three_nodes t(3);
    t.give(t.first());
    t.give(t.second());
    std::size_t asked_of_liar = 0;
    t.first().tamper = [&](p2p::wire::message& m) {
        if (auto* answer = std::get_if<p2p::wire::piece_answer>(&m)) {
            ++asked_of_liar;
            if (!answer->bytes.empty()) answer->bytes[7] ^= 1;
        }
        return true;
    };
    BOOST_REQUIRE(t.fetch());
    BOOST_REQUIRE(t.swarm.run_until([&] { return t.complete(); }, 60s));
    BOOST_TEST(t.right());
    BOOST_TEST(asked_of_liar <= 4u);
    // Naming it again does not bring it back for this blob while the fetch lasts; it has strikes.
    BOOST_TEST(t.charged(t.first()));
}

/// Whatever is wrong with a piece, it is dropped, its sender gets a strike and is asked no more for
/// this blob, and the other holder gives what is right.
BOOST_AUTO_TEST_CASE(a_piece_that_is_wrong_in_any_way_is_dropped_and_charged) {
    using p2p::wire::piece_answer;
    const base::byte_vector other = bytes_of(77, blob_size);
    const std::map<std::string, std::function<void(piece_answer&)>> wrongs{
        {"too short", [](piece_answer& a) { a.bytes.pop_back(); }},
        {"too long", [](piece_answer& a) { a.bytes.push_back(0); }},
        {"empty", [](piece_answer& a) { a.bytes.clear(); }},
        {"wrong path", [](piece_answer& a) { a.path.back().bytes[0] ^= 1; }},
        {"short path", [](piece_answer& a) { a.path.pop_back(); }},
        {"long path", [](piece_answer& a) { a.path.push_back(a.path.back()); }},
        {"the piece beside", [](piece_answer& a) { a.index ^= 1; }},
        {"of another round's blob",
         [&](piece_answer& a) {
             const auto piece = piece_of(other, a.index);
             a.bytes = piece.bytes;
             a.path = piece.path;
         }},
    };
    std::uint64_t seed = 40;
    for (const auto& [name, spoil] : wrongs) {
        BOOST_TEST_CONTEXT(name) {
            three_nodes t(++seed);
            t.give(t.first());
            t.give(t.second());
            t.first().tamper = [&spoil = spoil](p2p::wire::message& m) {
                auto* answer = std::get_if<piece_answer>(&m);
                if (answer != nullptr && !answer->bytes.empty()) spoil(*answer);
                return true;
            };
            BOOST_REQUIRE(t.fetch());
            BOOST_REQUIRE(t.swarm.run_until([&] { return t.complete(); }, 60s));
            BOOST_TEST(t.right());
            BOOST_TEST(t.charged(t.first()));
        }
    }
}

BOOST_AUTO_TEST_CASE(a_piece_that_comes_again_is_dropped_and_charged) {
    three_nodes t(50);
    t.swarm.run_for(60s);
    t.give(t.first());
    std::optional<p2p::wire::piece_answer> last;
    t.first().tamper = [&](p2p::wire::message& m) {
        auto* answer = std::get_if<p2p::wire::piece_answer>(&m);
        if (answer == nullptr || answer->bytes.empty()) return true;
        // Every second answer is the one before once more.
        if (last) {
            *answer = *std::exchange(last, std::nullopt);
        } else {
            last = *answer;
        }
        return true;
    };
    BOOST_REQUIRE(t.fetch());
    t.swarm.run_until([&] { return t.fetcher().pieces[t.ref].size() >= 6; }, 60s);
    BOOST_TEST(t.fetcher().pieces[t.ref].size() >= 6u);
    BOOST_TEST(t.strikes_of(t.first()) >= 3u);
    for (const auto& [index, bytes] : t.fetcher().pieces[t.ref]) {
        BOOST_TEST((bytes == piece_of(t.blob, index).bytes));
    }
}

/// The pieces were asked of another holder meanwhile, and are here: that is no offence.
BOOST_AUTO_TEST_CASE(answers_that_come_late_are_dropped_and_not_charged) {
    three_nodes t(51);
    t.swarm.run_for(60s);
    t.give(t.first());
    t.give(t.second());
    t.first().late = 25s;
    std::size_t answers = 0;
    t.first().tamper = [&](p2p::wire::message& m) {
        answers += std::holds_alternative<p2p::wire::piece_answer>(m);
        return true;
    };
    BOOST_REQUIRE(t.fetch());
    BOOST_REQUIRE(t.swarm.run_until([&] { return t.complete(); }, 120s));
    t.swarm.run_for(60s);
    BOOST_TEST(answers >= 4u);
    BOOST_TEST(t.strikes_of(t.first()) == 0u);
    BOOST_TEST(t.right());
}

BOOST_AUTO_TEST_CASE(fails_by_name_when_every_holder_lies) {
    three_nodes t(4);
    for (auto* n : {&t.first(), &t.second()}) {
        t.give(*n);
        n->tamper = [](p2p::wire::message& m) {
            if (auto* answer = std::get_if<p2p::wire::piece_answer>(&m)) {
                if (!answer->bytes.empty()) answer->bytes[7] ^= 1;
            }
            return true;
        };
    }
    BOOST_REQUIRE(t.fetch());
    BOOST_REQUIRE(t.swarm.run_until([&] { return !t.fetcher().failed.empty(); }, 60s));
    BOOST_TEST(t.fetcher().failed.front().second ==
               "none of the 2 nodes asked has it (2 sent false pieces)");
    BOOST_TEST(t.fetcher().pieces[t.ref].empty());
}

BOOST_AUTO_TEST_CASE(fails_by_name_when_nobody_has_it) {
    three_nodes t(5);
    BOOST_REQUIRE(t.fetch());
    BOOST_REQUIRE(t.swarm.run_until([&] { return !t.fetcher().failed.empty(); }, 120s));
    BOOST_TEST(t.fetcher().failed.front().second ==
               "none of the 2 nodes asked has it (0 sent false pieces)");
    BOOST_TEST(t.fetcher().core->transfers().empty());
}

BOOST_AUTO_TEST_CASE(waits_for_a_holder_that_gets_it_a_little_later) {
    three_nodes t(6);
    BOOST_REQUIRE(t.fetch());
    t.swarm.run_for(4s);
    t.give(t.second());
    BOOST_REQUIRE(t.swarm.run_until([&] { return t.complete(); }, 60s));
    BOOST_TEST(t.right());
}

BOOST_AUTO_TEST_CASE(resumes_with_the_pieces_at_hand) {
    three_nodes t(7);
    t.give(t.first());
    std::vector<bool> have(t.ref.pieces(), true);
    have[3] = have[20] = false;
    for (std::uint64_t i = 0; i < have.size(); ++i) {
        if (have[i]) t.fetcher().pieces[t.ref][i] = piece_of(t.blob, i).bytes;
    }
    const auto before = t.first().bytes_sent;
    BOOST_REQUIRE(t.fetch(have));
    BOOST_REQUIRE(t.swarm.run_until([&] { return t.complete(); }, 60s));
    BOOST_TEST(t.right());
    BOOST_TEST(t.first().bytes_sent - before < 3 * base::piece_size_bytes);
}

BOOST_AUTO_TEST_CASE(goes_around_a_holder_that_falls_silent) {
    three_nodes t(8);
    t.give(t.first());
    t.give(t.second());
    t.first().tamper = [](p2p::wire::message& m) {
        return !std::holds_alternative<p2p::wire::piece_answer>(m);
    };
    BOOST_REQUIRE(t.fetch());
    BOOST_REQUIRE(t.swarm.run_until([&] { return t.complete(); }, 60s));
    BOOST_TEST(t.right());
}

BOOST_AUTO_TEST_CASE(a_holder_without_a_link_is_dialled) {
    p2p::network_config config;
    config.links_target = 1;
    virtual_swarm swarm(9, config);
    for (int i = 0; i < 6; ++i) {
        auto& n = swarm.add();
        if (i > 0) swarm.command(n, p2p::add_address{swarm.node(0).where});
    }
    swarm.run_for(90s);
    auto& fetcher = swarm.node(5);
    auto& holder = swarm.node(4);
    BOOST_REQUIRE(!fetcher.core->linked(holder.id()));
    const auto blob = bytes_of(1, 600'000);
    const auto ref = base::blob_ref_of(blob);
    holder.blobs[ref] = blob;
    BOOST_REQUIRE(swarm.command(fetcher, p2p::fetch_blob{ref, {holder.id()}, {}}));
    BOOST_REQUIRE(swarm.run_until([&] { return !fetcher.completed.empty(); }, 60s));
    BOOST_TEST(fetcher.blobs[ref] == blob);
}

BOOST_AUTO_TEST_CASE(empty_and_tiny_blobs_travel_too) {
    three_nodes t(10);
    for (const std::size_t size : {0u, 1u, 262'144u, 262'145u}) {
        const auto blob = bytes_of(size, size);
        const auto ref = base::blob_ref_of(blob);
        t.first().blobs[ref] = blob;
        BOOST_REQUIRE(t.swarm.command(t.fetcher(), p2p::fetch_blob{ref, {t.first().id()}, {}}));
        BOOST_REQUIRE(t.swarm.run_until([&] { return t.fetcher().blobs.contains(ref); }, 60s));
        BOOST_TEST(t.fetcher().blobs[ref] == blob);
    }
}

BOOST_AUTO_TEST_CASE(cancelling_ends_it_without_a_word) {
    three_nodes t(11);
    t.give(t.first());
    BOOST_REQUIRE(t.fetch());
    t.swarm.run_until([&] { return t.fetcher().pieces[t.ref].size() >= 2; }, 60s);
    BOOST_REQUIRE(t.swarm.command(t.fetcher(), p2p::cancel_fetch{t.ref}));
    BOOST_TEST(t.fetcher().core->transfers().empty());
    t.swarm.run_for(60s);
    BOOST_TEST(t.fetcher().completed.empty());
    BOOST_TEST(t.fetcher().failed.empty());
}

BOOST_AUTO_TEST_CASE(impossible_fetches_are_refused) {
    three_nodes t(12);
    const base::blob_ref huge{t.ref.root, base::blob_size_max_bytes + 1};
    BOOST_TEST(t.swarm.command(t.fetcher(), p2p::fetch_blob{huge, {t.first().id()}, {}})
                   .error()
                   .is(p2p::errc::too_large));
    BOOST_TEST(t.fetch(std::vector<bool>(2)).error().is(p2p::errc::too_large));
    BOOST_TEST(t.fetcher().core->transfers().empty());
}

BOOST_AUTO_TEST_CASE(a_peer_that_asks_too_much_at_once_is_told_busy) {
    p2p::network_config config;
    const p2p::identity self(key_of(1)), other(key_of(2));
    p2p::network core(config, self, base::rng(1));
    p2p::network_effects out;
    const base::time_point now{1s};
    core.handle(now, p2p::link_up{{1}, other.node(), {"10.0.0.2", 1}, {}, false}, out);
    const auto ref = base::blob_ref_of(bytes_of(1, 5'000'000));
    out.clear();
    for (std::uint64_t i = 0; i < 12; ++i) {
        core.handle(
            now, p2p::link_message{{1}, p2p::wire::encode(p2p::wire::piece_request{ref, i})}, out);
    }
    std::size_t reads = 0, busy = 0;
    for (const auto& e : out) {
        if (std::holds_alternative<p2p::read_piece>(e)) ++reads;
        if (const auto* sent = std::get_if<p2p::link_send>(&e)) {
            const auto m = p2p::wire::decode_message(sent->bytes);
            const auto* answer = std::get_if<p2p::wire::piece_answer>(&*m);
            if (answer != nullptr && answer->status == p2p::wire::piece_status::busy) ++busy;
        }
    }
    BOOST_TEST(reads == config.reads_per_peer);
    BOOST_TEST(busy == 12 - config.reads_per_peer);
}

BOOST_AUTO_TEST_CASE(a_rotten_piece_of_ours_is_not_sent) {
    const p2p::identity self(key_of(1)), other(key_of(2));
    p2p::network core({}, self, base::rng(1));
    p2p::network_effects out;
    const base::time_point now{1s};
    core.handle(now, p2p::link_up{{1}, other.node(), {"10.0.0.2", 1}, {}, false}, out);
    const auto blob = bytes_of(1, 5000);
    const auto ref = base::blob_ref_of(blob);
    core.handle(now, p2p::link_message{{1}, p2p::wire::encode(p2p::wire::piece_request{ref, 0})},
                out);
    const auto request = std::get<p2p::read_piece>(out.back()).request;
    auto piece = piece_of(blob, 0);
    piece.bytes[3] ^= 1;
    out.clear();
    core.handle(now, p2p::piece_read{request, piece}, out);
    const auto sent = p2p::wire::decode_message(std::get<p2p::link_send>(out.front()).bytes);
    BOOST_CHECK(std::get<p2p::wire::piece_answer>(*sent).status ==
                p2p::wire::piece_status::not_found);
}

BOOST_AUTO_TEST_CASE(a_run_of_pieces_comes_alone) {
    three_nodes t(20);
    t.give(t.first());
    BOOST_REQUIRE(t.fetch_run({3, 4}));
    BOOST_REQUIRE(t.swarm.run_until([&] { return t.complete(); }, 60s));
    BOOST_TEST((t.pieces_here() == std::vector<std::uint64_t>{3, 4, 5, 6}));
    BOOST_TEST(t.fetcher().core->transfers().empty());
    // The rest later; what is here is not asked for again.
    std::vector<bool> have(t.ref.pieces());
    for (const auto i : t.pieces_here()) have[i] = true;
    std::size_t answers = 0;
    t.first().tamper = [&](p2p::wire::message& m) {
        if (std::holds_alternative<p2p::wire::piece_answer>(m)) ++answers;
        return true;
    };
    BOOST_REQUIRE(t.fetch(have));
    BOOST_REQUIRE(t.swarm.run_until([&] { return t.fetcher().completed.size() == 2; }, 60s));
    BOOST_TEST(t.right());
    BOOST_TEST(answers == t.ref.pieces() - 4);
}

/// Who has one run of a blob need not have another, and would put off what it has.
BOOST_AUTO_TEST_CASE(each_run_is_asked_of_its_own_holders) {
    three_nodes t(21);
    t.give(t.first());
    t.give(t.second());
    std::map<base::node_id, std::set<std::uint64_t>> gave;
    for (auto* n : {&t.first(), &t.second()}) {
        n->tamper = [&gave, id = n->id()](p2p::wire::message& m) {
            if (auto* answer = std::get_if<p2p::wire::piece_answer>(&m)) {
                gave[id].insert(answer->index);
            }
            return true;
        };
    }
    BOOST_REQUIRE(t.fetch_run({2, 3}, {}, {t.first().id()}));
    BOOST_REQUIRE(t.fetch_run({15, 2}, {}, {t.second().id()}));
    BOOST_TEST(t.fetcher().core->transfers().size() == 2u);
    BOOST_REQUIRE(t.swarm.run_until([&] { return t.fetcher().completed.size() == 2; }, 60s));
    BOOST_TEST((gave[t.first().id()] == std::set<std::uint64_t>{2, 3, 4}));
    BOOST_TEST((gave[t.second().id()] == std::set<std::uint64_t>{15, 16}));
}

BOOST_AUTO_TEST_CASE(a_run_does_not_wait_for_another_that_nobody_has) {
    three_nodes t(24);
    t.give(t.first());
    BOOST_REQUIRE(t.fetch_run({15, 2}, {}, {t.second().id()}));
    BOOST_REQUIRE(t.fetch_run({2, 3}, {}, {t.first().id()}));
    const auto began = t.swarm.now();
    BOOST_REQUIRE(t.swarm.run_until([&] { return t.complete(); }, 60s));
    BOOST_TEST((t.swarm.now() - began < 10s));
    BOOST_TEST((t.fetcher().completed_runs == std::vector<base::piece_run>{{2, 3}}));
    BOOST_REQUIRE(t.swarm.run_until([&] { return !t.fetcher().failed.empty(); }, 60s));
    BOOST_TEST((t.fetcher().failed_runs == std::vector<base::piece_run>{{15, 2}}));
    BOOST_TEST(t.fetcher().failed.front().second ==
               "none of the 1 nodes asked has it (0 sent false pieces)");
    BOOST_TEST((t.pieces_here() == std::vector<std::uint64_t>{2, 3, 4}));
}

BOOST_AUTO_TEST_CASE(where_runs_meet_nothing_comes_twice) {
    three_nodes t(25);
    t.give(t.first());
    std::vector<std::uint64_t> gave;
    t.first().tamper = [&](p2p::wire::message& m) {
        if (auto* answer = std::get_if<p2p::wire::piece_answer>(&m)) gave.push_back(answer->index);
        return true;
    };
    BOOST_REQUIRE(t.fetch_run({3, 8}, {}, {t.first().id()}));
    BOOST_REQUIRE(t.fetch_run({6, 9}, {}, {t.first().id()}));
    BOOST_REQUIRE(t.fetch());
    BOOST_REQUIRE(t.swarm.run_until([&] { return t.fetcher().completed.size() == 3; }, 60s));
    BOOST_TEST(t.right());
    BOOST_TEST(gave.size() == t.ref.pieces());
}

BOOST_AUTO_TEST_CASE(who_lied_about_one_run_is_not_asked_for_another) {
    three_nodes t(26);
    t.give(t.first());
    t.give(t.second());
    std::set<std::uint64_t> asked_of_liar;
    t.first().tamper = [&](p2p::wire::message& m) {
        if (auto* answer = std::get_if<p2p::wire::piece_answer>(&m)) {
            asked_of_liar.insert(answer->index);
            if (!answer->bytes.empty()) answer->bytes[7] ^= 1;
        }
        return true;
    };
    t.second().late = 1s;
    BOOST_REQUIRE(t.fetch_run({0, 12}));
    BOOST_REQUIRE(t.swarm.run_until([&] { return t.charged(t.first()); }, 60s));
    BOOST_REQUIRE(!t.complete());
    BOOST_REQUIRE(t.fetch_run({14, 2}, {}, {t.first().id()}));
    BOOST_TEST((t.fetcher().failed_runs == std::vector<base::piece_run>{{14, 2}}));
    BOOST_REQUIRE(t.fetch_run({17, 2}));
    BOOST_REQUIRE(t.swarm.run_until([&] { return t.fetcher().completed.size() == 2; }, 60s));
    BOOST_TEST(t.pieces_here().size() == 14u);
    BOOST_TEST(!asked_of_liar.empty());
    for (const auto index : asked_of_liar) BOOST_TEST(index < 12);
}

BOOST_AUTO_TEST_CASE(one_run_can_be_cancelled_alone) {
    three_nodes t(27);  // nobody has it yet
    for (const base::piece_run run : {base::piece_run{2, 4}, {4, 4}, {12, 1}}) {
        BOOST_REQUIRE(t.fetch_run(run));
    }
    BOOST_REQUIRE(t.swarm.command(t.fetcher(), p2p::cancel_fetch{t.ref, base::piece_run{2, 4}}));
    BOOST_TEST(t.fetcher().core->transfers().size() == 2u);
    t.give(t.first());
    BOOST_REQUIRE(t.swarm.run_until([&] { return t.fetcher().completed.size() == 2; }, 60s));
    BOOST_TEST((t.pieces_here() == std::vector<std::uint64_t>{4, 5, 6, 7, 12}));
}

BOOST_AUTO_TEST_CASE(a_run_that_is_here_is_complete_at_once) {
    three_nodes t(22);
    std::vector<bool> have(t.ref.pieces());
    have[7] = have[8] = true;
    BOOST_REQUIRE(t.fetch_run({7, 2}, have));
    BOOST_TEST(t.complete());
}

BOOST_AUTO_TEST_CASE(a_run_beyond_the_end_is_refused) {
    three_nodes t(23);
    const auto pieces = t.ref.pieces();
    for (const base::piece_run run : {base::piece_run{pieces, 1}, base::piece_run{pieces - 1, 2},
                                      base::piece_run{1, UINT64_MAX}, base::piece_run{3, 0}}) {
        BOOST_TEST(t.fetch_run(run).error().is(p2p::errc::too_large));
    }
    BOOST_TEST(t.fetcher().core->transfers().empty());
}

BOOST_AUTO_TEST_SUITE_END()
