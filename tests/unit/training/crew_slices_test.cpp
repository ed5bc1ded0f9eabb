#include "tests/unit/training/crew_fixture.hpp"
#include "training/crew/slice_lists.hpp"
#include "training/errc.hpp"

// What members say of their slices: on the wire, and what whole states it adds up to.
namespace tequio::training::crew_protocol {
namespace {

using namespace std::chrono_literals;
using list = slice_lists::tensor_list;

status status_with(slice_status s) {
    status said;
    said.able = true;
    said.slices = std::move(s);
    return said;
}

slice_status some_slices() {
    slice_status s;
    s.seat = model_slice{1, 3};
    s.fits = {0b0, 0b10, 0b111};
    s.memory = 3'000'000'000;
    s.speed = 12'345;
    s.lists = {{2, result_of("mean 1"), {result_of("list 2"), 64}},
               {3, result_of("mean 2"), {result_of("list 3"), 96}}};
    s.lost = item_key{3, 1};
    s.up = 2'500'000;
    s.delay = 20'000;
    return s;
}

round_open some_plan() {
    round_open m{3, 8, result_of("state"), {}, {}, 0, 0};
    m.slices = 2;
    m.seats = {{node(1), 0, 1}, {node(2), 1, 1}, {node(3), 1, 0}};
    m.mean = {result_of("mean"), small_shape().mean_bytes};
    m.again = {{node(1), {2, 3}}};
    return m;
}

team_call some_call() {
    team_call call;
    call.item = {2, 3};
    call.attempt = 77;
    call.state = result_of("state");
    call.nodes = {node(2), node(1)};
    call.check = true;
    return call;
}

base::result<base::digest> compose(const std::vector<list>& lists) {
    base::sha256_stream all;
    for (const auto& l : lists) {
        if (l.size() != 2) return fail(errc::bad_message, "two tensors a slice");
        for (const auto& t : l) all.add(t.view());
    }
    return all.finish();
}

list tensors_of(std::string_view what) {
    return {result_of(what), base::sha256(std::string(what) + " too")};
}

/// Node 0 with slice 0 of 2, and what the others say of theirs.
struct list_keeper {
    list_keeper() : members(node(0), 8, timings), desk(timings) {
        auto [bytes, ref] = lists.own(3, mean, self, tensors_of("slice 0"));
        own = ref;
        BOOST_TEST(bytes.size() == 64u);
    }
    /// Node `i` says that slice `slice` comes to this.
    base::blob_ref said(std::uint8_t i, std::uint32_t slice, std::string_view what) {
        base::byte_vector bytes;
        for (const auto& t : tensors_of(what)) {
            bytes.insert(bytes.end(), t.bytes.begin(), t.bytes.end());
        }
        const auto ref = base::blob_ref_of(bytes);
        slice_status s;
        s.seat = model_slice{slice, 2};
        s.lists = {{3, mean, ref}};
        (void)members.up({}, node(i));
        members.heard(at(1s), node(i), status_with(s));
        std::vector<crew_effect> out;
        lists.step(at(1s), 3, mean, self, members, desk, out);
        for (const auto& e : out) {
            const auto* f = std::get_if<fetch_blob>(&e);
            if (f == nullptr || f->ref != ref) continue;
            desk.arrived(ref);
            BOOST_TEST(lists.arrived(ref, bytes, desk));
        }
        lists.check();
        return ref;
    }
    std::optional<base::digest> composed(bool agreed) const {
        return lists.composed(3, mean, {at(1s), self, members}, agreed, compose);
    }
    bool outvoted() const { return lists.outvoted(3, mean, {at(1s), self, members}); }

    crew_timings timings;
    roster members;
    blob_desk desk;
    slice_lists lists;
    model_slice self{0, 2};
    base::digest mean = result_of("mean");
    base::blob_ref own;
};

base::digest whole(std::string_view a, std::string_view b) {
    return *compose({tensors_of(a), tensors_of(b)});
}

}  // namespace

BOOST_AUTO_TEST_SUITE(crew_slices)

BOOST_AUTO_TEST_CASE(what_is_said_of_slices_survives_the_wire) {
    const auto shape = small_shape();
    const auto s = status_with(some_slices());
    BOOST_TEST((std::get<status>(*decode(shape, encode(shape.task, s))) == s));
    const auto open = std::get<round_open>(*decode(shape, encode(shape.task, some_plan())));
    BOOST_TEST(open.slices == 2u);
    BOOST_TEST((open.seats == some_plan().seats));
    BOOST_TEST((open.mean == some_plan().mean));
    BOOST_TEST((open.again == some_plan().again));
    const auto call = some_call();
    BOOST_TEST((std::get<team_call>(*decode(shape, encode(shape.task, call))) == call));
    auto ended = call;
    ended.ended = true;
    BOOST_TEST((session_of(shape.task, ended) == session_of(shape.task, call)));
    ended.attempt = 78;
    BOOST_TEST((session_of(shape.task, ended) != session_of(shape.task, call)));
}

BOOST_AUTO_TEST_CASE(slices_seats_and_calls_out_of_bounds_are_refused) {
    const auto with = [](auto&& change) {
        auto s = some_slices();
        change(s);
        refused(status_with(s));
    };
    with([](auto& s) { s.seat = model_slice{3, 3}; });
    with([](auto& s) { s.seat = model_slice{0, crew_slices_max + 1}; });
    with([](auto& s) { s.fits[1] = 0b100; });  // a third slice of two
    with([](auto& s) { s.fits.assign(crew_slices_max + 1, 0); });
    with([](auto& s) { s.lists[0].list.size = 65; });
    with([](auto& s) { s.lists[0].list.size = 0; });
    with([](auto& s) { s.lists[0].list.size = slice_list_max_bytes + 32; });
    with([](auto& s) { s.lists[0].round = 7; });
    with([](auto& s) { s.lists.assign(slice_lists_max + 1, s.lists[0]); });
    with([](auto& s) { s.lost = item_key{3, 4}; });  // a validation
    const auto plan = [](auto&& change) {
        auto m = some_plan();
        change(m);
        refused(m);
    };
    plan([](auto& m) { m.slices = crew_slices_max + 1; });
    plan([](auto& m) { m.slices = 1; });
    plan([](auto& m) { m.seats[1].slice = 0; });               // a team with one slice twice
    plan([](auto& m) { m.seats.erase(m.seats.begin()); });     // and with one missing
    plan([](auto& m) { std::swap(m.seats[0], m.seats[1]); });  // not in order
    plan([](auto& m) { m.seats.push_back(m.seats.back()); });  // a node twice
    plan([](auto& m) { m.seats[2].team = 65; });
    plan([](auto& m) { m.mean.size = 3; });
    plan([](auto& m) { m.again[0].second.item = 5; });
    const auto call = [](auto&& change) {
        auto m = some_call();
        change(m);
        refused(m);
    };
    call([](auto& m) { m.nodes.pop_back(); });
    call([](auto& m) { m.nodes[1] = m.nodes[0]; });
    call([](auto& m) { m.item.item = 5; });  // a merge
    call([](auto& m) { m.state = {}; });
}

BOOST_AUTO_TEST_CASE(one_list_a_slice_gives_the_whole_state) {
    list_keeper l;
    BOOST_TEST(!l.composed(false).has_value());
    l.said(1, 1, "slice 1");
    BOOST_TEST((l.composed(true) == whole("slice 0", "slice 1")));
    BOOST_TEST(l.lists.prove(3, l.mean, l.self, whole("slice 0", "slice 1"), compose));
    BOOST_TEST(!l.lists.prove(3, l.mean, l.self, whole("slice 1", "slice 0"), compose));
    BOOST_TEST(!l.lists.complete(2, l.mean, l.self));
    l.lists.forget_before(4);
    BOOST_TEST(!l.composed(false).has_value());
    BOOST_TEST(l.lists.own_names().empty());
}

BOOST_AUTO_TEST_CASE(of_lists_that_differ_what_most_say_counts) {
    list_keeper l;
    l.said(1, 1, "forged");
    l.said(2, 1, "slice 1");
    // One against one: not agreed; the first stands for want of better.
    BOOST_TEST(!l.composed(true).has_value());
    BOOST_TEST((l.composed(false) == whole("slice 0", "forged")));
    l.said(3, 1, "slice 1");
    BOOST_TEST((l.composed(true) == whole("slice 0", "slice 1")));
    // Any of them may prove what the chronicle has.
    BOOST_TEST(l.lists.prove(3, l.mean, l.self, whole("slice 0", "forged"), compose));
    // A third list is heard; a fourth is not asked for.
    l.said(4, 1, "another");
    const auto fourth = l.said(5, 1, "one more");
    BOOST_TEST(!l.desk.asked(fourth));
}

BOOST_AUTO_TEST_CASE(the_own_list_stands_until_more_say_otherwise) {
    list_keeper l;
    l.said(1, 1, "slice 1");
    l.said(2, 0, "other");
    BOOST_TEST(!l.outvoted());
    BOOST_TEST(!l.composed(true).has_value());
    BOOST_TEST((l.composed(false) == whole("slice 0", "slice 1")));
    l.said(3, 0, "other");
    BOOST_TEST(l.outvoted());
    BOOST_TEST(!l.composed(false).has_value());
    // What others say of this node's slice proves nothing to it.
    BOOST_TEST(!l.lists.prove(3, l.mean, l.self, whole("other", "slice 1"), compose));
}

BOOST_AUTO_TEST_CASE(bytes_that_were_not_asked_for_are_no_list) {
    list_keeper l;
    const base::byte_vector bytes(64);
    BOOST_TEST(!l.lists.arrived(base::blob_ref_of(bytes), bytes, l.desk));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training::crew_protocol
