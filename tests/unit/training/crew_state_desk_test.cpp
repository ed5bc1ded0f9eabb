#include "training/crew/state_desk.hpp"

#include "tests/unit/training/crew_fixture.hpp"

namespace tequio::training::crew_protocol {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t state_bytes = 4000;  // eight means

job_shape long_shape() {
    auto out = small_shape();
    out.rounds = 40;
    return out;
}

crew_config keeping() {
    crew_config out;
    out.full_state_bytes = state_bytes;
    out.full_state_spacing = 10;
    return out;
}

named_state state_of(std::uint64_t round, std::string_view what) {
    return {round, {result_of(what), state_bytes}, result_of("history")};
}

/// A node at S(0), and members that name states.
struct desk_world {
    crew_config config = keeping();
    state_desk desk{config, long_shape()};
    roster members{node(0), 8, config.timings};
    standing_book standing;
    catch_up chain{long_shape()};
    blob_desk blobs{config.timings};
    base::time_point now{};
    std::uint64_t applied = 0;
    std::vector<crew_effect> out;

    void names(std::uint8_t i, const named_state& state) {
        members.up(now, node(i));
        status said;
        said.chronicle = 35;
        said.kept = state;
        members.heard(now, node(i), said);
    }
    std::string look() {
        return desk.look({now, applied, 0, members, standing, chain, blobs}, out);
    }
    /// Until everybody was heard.
    void wait() {
        look();
        now += 3 * config.timings.beat;
        BOOST_TEST(look() == "");
    }
    bool asks(const named_state& state) const { return blobs.asked(state.blob); }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(crew_state_desk)

BOOST_AUTO_TEST_CASE(names_of_states_are_stored_strictly) {
    const crew_states states{30,
                             {{20, {base::sha256("a"), 8000}}, {30, {base::sha256("b"), 8000}}}};
    const auto bytes = encode_states(states);
    const auto back = decode_states(bytes);
    BOOST_REQUIRE(back.has_value());
    BOOST_TEST((*back == states));
    BOOST_TEST((*decode_states(encode_states({})) == crew_states{}));
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        BOOST_TEST(!decode_states(base::byte_view(bytes).first(size)).has_value());
    }
    auto longer = bytes;
    longer.push_back(0);
    BOOST_TEST(!decode_states(longer).has_value());
    auto twice = states;
    twice.kept[1].first = 20;
    BOOST_TEST(!decode_states(encode_states(twice)).has_value());
    auto three = states;
    three.kept.push_back({40, {base::sha256("c"), 8000}});
    BOOST_TEST(!decode_states(encode_states(three)).has_value());
}

BOOST_AUTO_TEST_CASE(of_several_states_what_most_name_is_fetched) {
    desk_world w;
    const auto right = state_of(30, "right"), forged = state_of(30, "forged");
    w.names(1, forged);
    BOOST_TEST(w.look() == "");
    BOOST_TEST(!w.asks(forged));  // nobody else was heard yet
    w.names(2, right);
    w.names(3, right);
    w.wait();
    BOOST_TEST(w.asks(right));
    BOOST_TEST(!w.asks(forged));
    // Once everybody was heard one alone changes nothing; more than named this do.
    w.names(4, forged);
    w.look();
    BOOST_TEST(w.asks(right));
    w.names(5, forged);
    w.wait();
    BOOST_TEST(w.asks(forged));
}

BOOST_AUTO_TEST_CASE(no_state_is_fetched_where_the_means_are_fewer_bytes_or_none_is_kept) {
    for (const std::uint64_t missing : {8, 9}) {
        desk_world w;
        w.applied = 20 - missing;
        w.names(1, state_of(20, "right"));
        w.wait();
        BOOST_TEST(w.asks(state_of(20, "right")) == (missing > 8));
    }
    desk_world w;
    w.config.slices.max = 2;
    w.desk = state_desk(w.config, long_shape());
    w.names(1, state_of(20, "right"));
    w.wait();
    BOOST_TEST(w.out.empty());
    desk_world other;
    auto size = state_of(20, "right");
    --size.blob.size;
    other.names(1, size);
    other.wait();
    BOOST_TEST(other.out.empty());
}

BOOST_AUTO_TEST_CASE(a_state_that_is_not_to_be_had_is_not_asked_for_again) {
    desk_world w;
    const auto right = state_of(30, "right");
    w.names(1, right);
    w.wait();
    std::string why;
    for (int i = 0; i < 3 && why.empty(); ++i) {
        BOOST_TEST(w.asks(right));
        w.blobs.failed(w.now, right.blob);
        w.now += 10s;
        w.names(1, right);
        why = w.look();
    }
    BOOST_TEST(why == "it is not to be had");
    w.desk.refuse(w.chain, w.blobs, w.out);
    BOOST_TEST(!w.desk.jump().has_value());
    w.wait();
    BOOST_TEST(!w.desk.jump().has_value());
    w.names(1, state_of(20, "older"));
    w.wait();
    BOOST_TEST(w.asks(state_of(20, "older")));
}

BOOST_AUTO_TEST_CASE(what_the_disk_held_counts_as_far_as_the_chronicle_reaches) {
    desk_world w;
    w.desk.load({20, {{20, {result_of("a state"), state_bytes}}}}, w.chain);
    BOOST_TEST(w.desk.means_from() == 0u);
    BOOST_TEST(w.desk.blobs().empty());
    w.desk.check(w.chain);
}

/// Killed as soon as it had one: what those who named it had settled, this node has not yet.
BOOST_AUTO_TEST_CASE(a_state_that_it_began_from_is_gone_on_from_before_its_round_is_settled_here) {
    for (const bool began : {true, false}) {
        desk_world w;
        w.chain.set_initial(state_digest(0));
        for (std::uint64_t round = 0; round < 5; ++round) w.chain.append(entry_of(round));
        const base::blob_ref blob{result_of("a state"), state_bytes};
        w.desk.load({began ? 5u : 0u, {{5, blob}}}, w.chain);
        w.look();
        BOOST_TEST(w.desk.jump().has_value() == began);
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training::crew_protocol
