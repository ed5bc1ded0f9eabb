/// A member's desk: whom it opens streams to, what it carries, how long it waits, what it says when
/// it gives up.

#include "node/core/team_desk.hpp"

#include <boost/test/unit_test.hpp>

#include "tests/unit/p2p/virtual_swarm.hpp"

using namespace tequio;
using namespace tequio::node;
using namespace std::chrono_literals;

namespace {

base::node_id node_number(std::uint64_t i) {
    return p2p::identity(test::key_of(i)).node();
}

training::recipe divisible() {
    training::recipe r;
    r.model = {"gpt2", 4, 2, 32, 32, 256};
    r.train.batch = 4;
    r.train.micro_batch = 1;
    r.train.lanes = 2;
    r.slices = {{1, 2, 3}, "bf16"};
    return r;
}

/// The middle one of three members.
struct desk_of_three {
    base::task_id task{base::sha256("task").bytes};
    training::work_item item;
    team_desk desk{team_patience{}, node_number(2)};
    base::time_point start{100s};
    team_effects out;

    desk_of_three() {
        item.kind = training::work_kind::lane;
        item.slice = {1, 3};
        item.team = {node_number(1), node_number(2), node_number(3)};
        item.session = base::sha256("attempt 1");
    }
    void begin() {
        BOOST_REQUIRE(desk.begin(start, task, divisible(), item, out));
        out = {};
    }
    void note(base::duration after, std::uint32_t member, team_note_kind what) {
        desk.noted(start + after, {task, item.session, member, what}, out);
    }
    void hear(base::duration after, std::uint64_t from, const char* attempt = "attempt 1") {
        p2p::stream_message m{node_number(from), base::sha256(attempt), {}};
        training::write_tag({1, training::team_word::gradients, 3}, m.bytes);
        m.bytes.push_back(7);
        desk.heard(start + after, m, out);
    }
    bool stopped() const {
        return std::any_of(out.shell.begin(), out.shell.end(), [](const node_effect& e) {
            return std::holds_alternative<stop_compute>(e);
        });
    }
    template <class Effect>
    std::size_t count() const {
        return static_cast<std::size_t>(
            std::count_if(out.shell.begin(), out.shell.end(),
                          [](const node_effect& e) { return std::holds_alternative<Effect>(e); }));
    }
    template <class Command>
    std::vector<Command> commands() const {
        std::vector<Command> found;
        for (const auto& c : out.network) {
            if (const auto* wanted = std::get_if<Command>(&c)) found.push_back(*wanted);
        }
        return found;
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(team_desk_test)

BOOST_AUTO_TEST_CASE(streams_to_the_others_live_as_long_as_the_item) {
    desk_of_three t;
    BOOST_REQUIRE(t.desk.begin(t.start, t.task, divisible(), t.item, t.out));
    const auto opened = t.commands<p2p::open_stream>();
    BOOST_REQUIRE(opened.size() == 2U);
    BOOST_TEST((opened[0].node == node_number(1)));
    BOOST_TEST((opened[1].node == node_number(3)));
    for (const auto& o : opened) {
        BOOST_TEST((o.name == t.item.session));
        BOOST_TEST(o.message_bytes_max >= 32U * 32 * 4 + training::team_tag_bytes);
        BOOST_TEST(o.message_bytes_max < 2'000'000U);
    }
    BOOST_TEST(t.commands<p2p::want_peer>().size() == 2U);
    BOOST_TEST((t.desk.next_deadline() == base::time_point::max()));
    t.out = {};
    t.desk.end("", t.out);
    BOOST_TEST(t.commands<p2p::close_stream>().size() == 2U);
    BOOST_TEST(t.commands<p2p::unwant_peer>().size() == 2U);
    BOOST_TEST(!t.desk.busy());
    t.out = {};
    t.desk.end("", t.out);
    BOOST_TEST(t.out.network.empty());
}

BOOST_AUTO_TEST_CASE(teams_that_cannot_be_are_refused) {
    const auto refused = [](const std::function<void(training::work_item&)>& change) {
        desk_of_three t;
        change(t.item);
        const auto begun = t.desk.begin(t.start, t.task, divisible(), t.item, t.out);
        if (begun) return std::string("taken");
        BOOST_TEST(t.out.network.empty());
        BOOST_TEST(!t.desk.busy());
        return begun.error().message();
    };
    BOOST_TEST(refused([](auto&) {}) == "taken");
    BOOST_TEST(refused([](auto& i) { i.slice.count = 5; }).find("cuts do not allow") !=
               std::string::npos);
    BOOST_TEST(refused([](auto& i) {
                   i.slice = {0, 1};
               }).find("cuts do not allow") != std::string::npos);
    BOOST_TEST(refused([](auto& i) { i.team.pop_back(); }).find("one member for each slice") !=
               std::string::npos);
    BOOST_TEST(refused([](auto& i) { i.slice.index = 0; }).find("is another's") !=
               std::string::npos);
    BOOST_TEST(refused([](auto& i) { i.team[2] = i.team[0]; }).find("twice") != std::string::npos);
    BOOST_TEST(refused([](auto& i) { i.session = {}; }).find("no name") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(messages_pass_with_their_tags_and_those_of_other_attempts_do_not) {
    desk_of_three t;
    t.begin();
    const auto kept = std::make_shared<const base::byte_vector>(base::byte_vector{1, 2, 3});
    const training::team_tag tag{4, training::team_word::activations, 2};
    BOOST_REQUIRE(t.desk.said(t.start, {t.task, t.item.session, 2, tag, {kept, *kept}}, t.out));
    const auto sent = t.commands<p2p::stream_send>();
    BOOST_REQUIRE(sent.size() == 1U);
    BOOST_TEST((sent[0].to == node_number(3)));
    BOOST_TEST((training::read_tag(sent[0].head) == tag));
    BOOST_TEST(sent[0].body.bytes.size() == 3U);
    BOOST_TEST(!t.desk.said(t.start, {t.task, t.item.session, 1, tag, {kept, *kept}}, t.out));
    BOOST_TEST(!t.desk.said(t.start, {t.task, t.item.session, 3, tag, {kept, *kept}}, t.out));
    t.out = {};
    BOOST_REQUIRE(
        t.desk.said(t.start, {t.task, base::sha256("attempt 0"), 2, tag, {kept, *kept}}, t.out));
    t.hear(1s, 1, "attempt 0");
    t.hear(1s, 9);
    BOOST_TEST(t.out.network.empty());
    BOOST_TEST(t.out.shell.empty());
    t.hear(1s, 3);
    BOOST_REQUIRE(t.count<team_deliver>() == 1U);
    const auto& delivered = std::get<team_deliver>(t.out.shell.front());
    BOOST_TEST(delivered.from == 2U);
    BOOST_TEST(delivered.tag.part == 3U);
    BOOST_TEST(delivered.bytes.back() == 7);
    t.note(1s, 2, team_note_kind::taken);
    BOOST_TEST(t.commands<p2p::stream_take>().size() == 1U);
    t.desk.taken(t.start, {node_number(1), t.item.session}, t.out);
    BOOST_TEST(std::get<team_credit>(t.out.shell.back()).by == 0U);
}

BOOST_AUTO_TEST_CASE(bytes_that_are_no_message_are_charged) {
    desk_of_three t;
    t.begin();
    p2p::stream_message m{node_number(1), t.item.session, {1, 2, 3}};
    t.desk.heard(t.start, m, t.out);
    BOOST_TEST(t.count<team_deliver>() == 0U);
    BOOST_TEST(t.commands<p2p::stream_take>().size() == 1U);
    const auto blamed = t.commands<p2p::blame_peer>();
    BOOST_REQUIRE(blamed.size() == 1U);
    BOOST_TEST((blamed[0].node == node_number(1)));
    t.note(1s, 2, team_note_kind::blames);
    BOOST_TEST((t.commands<p2p::blame_peer>().back().node == node_number(3)));
}

BOOST_AUTO_TEST_CASE(a_member_that_says_nothing_is_named) {
    desk_of_three t;
    t.begin();
    t.note(1s, 0, team_note_kind::waits);
    t.desk.tick(t.start + 300s, t.out);
    BOOST_TEST(!t.stopped());
    BOOST_TEST((t.desk.next_deadline() == t.start + 301s));
    t.desk.tick(t.start + 301s, t.out);
    BOOST_TEST(t.stopped());
    BOOST_TEST(t.desk.given_up() == "nothing came for 300 s from node " + node_number(1).brief() +
                                        ", which has slice 0");
    t.out = {};
    t.desk.end(t.desk.given_up(), t.out);
    const auto told = t.commands<p2p::close_stream>();
    BOOST_REQUIRE(told.size() == 2U);
    BOOST_TEST(told[1].reason == t.desk.given_up());
}

BOOST_AUTO_TEST_CASE(waits_are_measured_by_what_moves_and_by_what_was_seen) {
    desk_of_three t;
    t.begin();
    const auto left = [&](base::duration after) {
        return t.desk.next_deadline() - (t.start + after);
    };
    t.note(1s, 0, team_note_kind::waits);
    t.hear(2s, 3);  // another's message is none of that one's
    BOOST_TEST((left(1s) == 60s));
    t.desk.moved(t.start + 40s, {node_number(1), t.item.session});
    BOOST_TEST((left(40s) == 60s));
    t.desk.moved(t.start + 50s, {node_number(3), t.item.session});
    BOOST_TEST((left(40s) == 60s));
    t.hear(60s, 1);
    BOOST_TEST((t.desk.next_deadline() == base::time_point::max()));
    // The longest wait was 20 s from the last that moved: now 160 s are allowed.
    t.note(70s, 2, team_note_kind::waits);
    BOOST_TEST((left(70s) == 160s));
    t.desk.taken(t.start + 71s, {node_number(3), t.item.session}, t.out);
    BOOST_TEST((t.desk.next_deadline() == base::time_point::max()));
}

BOOST_AUTO_TEST_CASE(who_gives_up_takes_the_others_along) {
    desk_of_three t;
    t.begin();
    t.desk.closed({node_number(9), t.item.session, "a stranger"}, t.out);
    t.desk.closed({node_number(3), base::sha256("attempt 0"), "late"}, t.out);
    BOOST_TEST(!t.stopped());
    t.desk.closed({node_number(3), t.item.session, "the worker process ended"}, t.out);
    BOOST_TEST(t.stopped());
    BOOST_TEST(t.desk.given_up() == "node " + node_number(3).brief() +
                                        ", which has slice 2, gave the lane up: the worker "
                                        "process ended");
    t.out = {};
    t.desk.closed({node_number(1), t.item.session, "that too"}, t.out);
    BOOST_TEST(!t.stopped());  // once is enough
}

BOOST_AUTO_TEST_SUITE_END()
