/// What a job waits for: blobs and runs of their pieces, each asked of its own holders.

#include <boost/test/unit_test.hpp>
#include <map>
#include <set>

#include "node/core/node_state.hpp"
#include "tests/unit/p2p/virtual_swarm.hpp"

namespace tequio::node {
namespace {

using namespace std::chrono_literals;
using base::piece_run;
using pieces = std::set<std::uint64_t>;

/// A node with a job, and two others linked to it.
struct node_with_links {
    p2p::identity self{test::key_of(1)};
    base::node_id first = p2p::identity(test::key_of(2)).node();
    base::node_id second = p2p::identity(test::key_of(3)).node();
    base::byte_vector blob = test::bytes_of(1, 5 * base::piece_size_bytes + 7);
    base::blob_ref ref = base::blob_ref_of(blob);
    moment at{base::time_point(1s), {1'800'000'000}};
    node_effects out;
    node_logic::state state{{}, self, {}, {}, at, base::rng(1)};
    base::task_id id;

    node_with_links() {
        state.enter(at, out);
        link(1, first);
        link(2, second);
        training::task t;
        t.work.model = {"gpt2", 1, 2, 16, 8, 256};
        id = state.add_job(std::move(t), "", at.wall).id;
        out.clear();
    }
    void link(std::uint64_t number, const base::node_id& node) {
        p2p::network_event e = p2p::link_up{{number}, node, {"10.0.0.2", 1}, {}, false};
        state.on(e);
    }
    void unlink(std::uint64_t number) {
        p2p::network_event e = p2p::link_down{{number}, {}};
        state.on(e);
    }
    held_job& job() { return *state.job_of(id); }
    void later(base::duration time) {
        at.now += time;
        state.enter(at, out);
    }
    void want(const piece_run& run, std::vector<base::node_id> holders) {
        state.fetch(job(), {ref, std::move(holders), false, run});
    }
    /// Nothing of the blob is here.
    void look_up() {
        blob_looked_up e{ref, false, {}};
        state.on(e);
    }
    /// The pieces that were asked for since the last time, by link.
    std::map<std::uint64_t, pieces> asked() {
        std::map<std::uint64_t, pieces> by_link;
        for (const auto& e : out) {
            const auto* sent = std::get_if<p2p::link_send>(&e);
            if (sent == nullptr) continue;
            const auto m = p2p::wire::decode_message(sent->bytes);
            BOOST_REQUIRE(m.has_value());
            const auto* request = std::get_if<p2p::wire::piece_request>(&*m);
            if (request != nullptr) by_link[sent->link.value].insert(request->index);
        }
        out.clear();
        return by_link;
    }
    void answer(std::uint64_t link, std::uint64_t index, bool found = true) {
        p2p::wire::piece_answer a{ref, p2p::wire::piece_status::not_found, index, {}, {}};
        if (found) {
            auto piece = test::piece_of(blob, index);
            a.status = p2p::wire::piece_status::found;
            a.bytes = std::move(piece.bytes);
            a.path = std::move(piece.path);
        }
        p2p::network_event e = p2p::link_message{{link}, p2p::wire::encode(a)};
        state.on(e);
    }
    /// Runs that the blob store is to confirm.
    std::vector<piece_run> confirmed() {
        std::vector<piece_run> runs;
        for (const auto& e : out) {
            if (const auto* c = std::get_if<confirm_blob>(&e)) runs.push_back(c->pieces);
        }
        return runs;
    }
    void confirm(const piece_run& run) {
        blob_confirmed e{ref, {}, run};
        state.on(e);
    }
    std::vector<piece_run> wanted() { return state.runs_of(job(), ref); }
};

constexpr piece_run head{0, 2}, tail{3, 2};

}  // namespace

BOOST_AUTO_TEST_SUITE(blob_wants)

BOOST_AUTO_TEST_CASE(each_run_of_a_blob_is_asked_of_its_own_holders) {
    node_with_links n;
    n.want(head, {n.first});
    n.want(tail, {n.second});
    n.look_up();
    auto asked = n.asked();
    BOOST_TEST((asked[1] == pieces{0, 1}));
    BOOST_TEST((asked[2] == pieces{3, 4}));
    // Nor does anybody get the other's when it has not got its own after all.
    n.answer(1, 0, false);
    n.later(300ms);
    p2p::network_event tick = p2p::tick{};
    n.state.on(tick);
    asked = n.asked();
    BOOST_TEST((asked[1] == pieces{0}));
    BOOST_TEST(asked[2].empty());
}

BOOST_AUTO_TEST_CASE(a_later_list_of_holders_is_of_its_run_alone) {
    node_with_links n;
    n.want(head, {n.first});
    n.want(tail, {n.first});
    n.want(tail, {n.second});
    n.look_up();
    auto asked = n.asked();
    BOOST_TEST((asked[1] == pieces{0, 1}));
    BOOST_TEST((asked[2] == pieces{3, 4}));
}

BOOST_AUTO_TEST_CASE(a_run_is_here_before_another_of_the_same_blob) {
    node_with_links n;
    n.want(head, {n.first});
    n.want(tail, {n.second});
    n.look_up();
    n.out.clear();
    n.answer(2, 3);
    BOOST_TEST(n.confirmed().empty());
    n.answer(2, 4);
    BOOST_TEST((n.confirmed() == std::vector<piece_run>{tail}));
    n.confirm(tail);
    BOOST_TEST((n.wanted() == std::vector<piece_run>{head}));
}

BOOST_AUTO_TEST_CASE(what_is_whole_serves_whoever_waits_for_less_and_ends_its_fetches) {
    node_with_links n;
    n.want(head, {n.first});
    n.want(tail, {n.second});
    n.look_up();
    BOOST_TEST(n.state.network_.transfers().size() == 2u);
    n.confirm({});
    BOOST_TEST(n.wanted().empty());
    BOOST_TEST(n.state.network_.transfers().empty());
}

BOOST_AUTO_TEST_CASE(a_run_that_nobody_has_fails_alone) {
    node_with_links n;
    n.want(head, {n.self.node()});
    n.want(tail, {n.second});
    n.look_up();
    BOOST_TEST((n.wanted() == std::vector<piece_run>{tail}));
    BOOST_TEST((n.asked()[2] == pieces{3, 4}));
}

BOOST_AUTO_TEST_CASE(a_run_whose_holders_are_out_of_reach_fails_alone_and_is_fetched_no_more) {
    node_with_links n;
    n.want(head, {n.first});
    n.want(tail, {n.second});
    n.look_up();
    n.unlink(1);
    n.state.give_up_out_of_reach(n.job());
    n.later(14s);
    n.state.give_up_out_of_reach(n.job());
    BOOST_TEST(n.wanted().size() == 2u);
    n.later(2s);
    n.state.give_up_out_of_reach(n.job());
    BOOST_TEST((n.wanted() == std::vector<piece_run>{tail}));
    const auto transfers = n.state.network_.transfers();
    BOOST_TEST_REQUIRE(transfers.size() == 1u);
    BOOST_TEST((transfers.front().pieces == tail));
}

BOOST_AUTO_TEST_CASE(patience_with_holders_begins_anew_when_one_was_in_reach) {
    node_with_links n;
    n.want(head, {n.first});
    n.look_up();
    n.unlink(1);
    n.state.give_up_out_of_reach(n.job());
    n.later(10s);
    n.link(3, n.first);
    n.state.give_up_out_of_reach(n.job());
    n.unlink(3);
    n.later(10s);
    n.state.give_up_out_of_reach(n.job());
    BOOST_TEST(n.wanted().size() == 1u);
}

BOOST_AUTO_TEST_CASE(what_another_job_waits_for_too_is_fetched_on) {
    node_with_links n;
    training::task t;
    t.work.model = {"gpt2", 1, 2, 16, 8, 256};
    t.name = "another";
    auto& other = n.state.add_job(std::move(t), "", n.at.wall);
    n.want(head, {n.first});
    n.state.fetch(other, {n.ref, {n.second}, false, head});
    n.look_up();
    auto asked = n.asked();
    BOOST_TEST(asked[1].size() + asked[2].size() == 2u);
    n.state.give_up(n.job(), {n.ref, head}, "a test");
    BOOST_TEST(n.state.network_.transfers().size() == 1u);
    n.state.give_up(other, {n.ref, head}, "a test");
    BOOST_TEST(n.state.network_.transfers().empty());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::node
