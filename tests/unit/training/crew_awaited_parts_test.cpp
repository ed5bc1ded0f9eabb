// Parts that are not here, looked at by what changed: against a twin that looks at every part after
// every event.
#include "training/crew/awaited_parts.hpp"

#include "base/rng.hpp"
#include "tests/unit/training/crew_fixture.hpp"

namespace tequio::training::crew_protocol {
namespace {

using namespace std::chrono_literals;

/// More than may be fetched at a time.
constexpr std::size_t shards = 300;
constexpr std::uint64_t open_round = 2;
constexpr unsigned failures_max = 3;

job_shape shape_of_shards() {
    auto shape = small_shape();
    shape.mean_units = shards;
    return shape;
}

base::blob_ref blob_of(std::size_t shard, std::uint64_t which) {
    return {base::sha256(std::to_string(shard) + " " + std::to_string(which)), 100};
}

using questions = std::vector<std::pair<base::blob_ref, std::vector<base::node_id>>>;

/// What both sides know, and what each asked for.
struct awaiting {
    shard_book book{shape_of_shards(), node(0)};
    crew_timings timings;
    blob_desk desk{timings}, twins_desk{timings};
    awaited_parts awaited;
    std::map<base::blob_ref, std::set<base::node_id>> tellers;
    std::set<base::node_id> present;
    awaited_parts::circumstances now_so;
    base::digest inputs = result_of("inputs");
    base::time_point now{};
    questions asked, twin_asked;

    void open() {
        book.open(open_round);
        std::vector<shard> plan;
        for (std::size_t i = 0; i < shards; ++i) plan.push_back({{i, 1}, node(0)});
        BOOST_REQUIRE(book.adopt(plan));
    }

    std::vector<base::node_id> holders(const known_part& k) const {
        std::vector<base::node_id> out;
        for (const auto& n : book.makers(k.said)) {
            if (present.contains(n)) out.push_back(n);
        }
        if (const auto told = tellers.find(k.said.blob); told != tellers.end()) {
            for (const auto& n : told->second) {
                if (present.contains(n)) out.push_back(n);
            }
        }
        return out;
    }

    /// False when it asked nobody, and may have to.
    bool ask(std::size_t i, blob_desk& of, questions& out) const {
        const auto* k = book.resolved(book.plan()[i].units, inputs);
        blob_desk::wish w{k->said.blob, holders(*k), open_round, false};
        if (w.holders.empty() && !now_so.closed) return true;
        std::vector<crew_effect> effects;
        of.want(now, w, effects);
        for (const auto& e : effects) {
            const auto& f = std::get<fetch_blob>(e);
            out.emplace_back(f.ref, f.holders);
        }
        return !effects.empty();
    }

    void look() {
        awaited.look(open_round, inputs, book, desk);
        awaited.under(now_so);
        awaited.each_due(now, desk, [&](std::size_t i, const auto&, const auto&) {
            return ask(i, desk, asked);
        });
        std::size_t unknown = 0, coming = 0;
        for (std::size_t i = 0; i < shards; ++i) {
            const auto* k = book.resolved(book.plan()[i].units, inputs);
            if (k == nullptr) {
                ++unknown;
                continue;
            }
            const auto look = twins_desk.look(k->said.blob);
            if (look.here) continue;
            ++coming;
            if (look.asked || twins_desk.has_room()) ask(i, twins_desk, twin_asked);
        }
        BOOST_REQUIRE(awaited.unknown() == unknown);
        BOOST_REQUIRE(awaited.all_here() == (unknown == 0 && coming == 0));
        BOOST_REQUIRE(awaited.all_may_come(desk, failures_max) == all_may_come());
    }

    bool all_may_come() const {
        for (std::size_t i = 0; i < shards; ++i) {
            const auto* k = book.resolved(book.plan()[i].units, inputs);
            if (k == nullptr) return false;
            if (twins_desk.here(k->said.blob)) continue;
            if (twins_desk.failures(k->said.blob) >= failures_max) return false;
        }
        return true;
    }

    /// In the end all parts are here.
    void end_well() {
        for (std::size_t i = 0; i < shards; ++i) {
            if (book.resolved({i, 1}, inputs) == nullptr) {
                book.add({{node(0), open_round, {i, 1}, inputs, blob_of(i, 0)}, {}});
            }
            const auto blob = book.resolved({i, 1}, inputs)->said.blob;
            desk.made(blob, open_round);
            twins_desk.made(blob, open_round);
            look();
        }
    }

    /// Something of what a node hears in a round. `flows`: fetches end.
    void happen(base::rng& rng, bool flows) {
        const auto i = rng.below(shards);
        const auto* k = book.resolved({i, 1}, inputs);
        const auto some = node(static_cast<std::uint8_t>(1 + rng.below(6)));
        std::vector<crew_effect> dropped;
        switch (rng.below(17)) {
            case 0:
            case 1:
            case 2:
            case 3: {
                // Some messages bring many, some of which are disputed.
                for (auto n = 1 + rng.below(rng.below(8) == 0 ? 90 : 4); n > 0; --n) {
                    const auto s = rng.below(shards);
                    sum_part p{node(static_cast<std::uint8_t>(1 + rng.below(6))),
                               open_round,
                               {s, 1},
                               inputs,
                               blob_of(s, rng.below(400) == 0 ? 1 : 0)};
                    book.add({std::move(p), {}});
                }
                break;
            }
            case 4:
            case 5:
            case 6:
            case 7:
            case 8:
            case 9:
                // Fetches end, some badly; some in one moment with others.
                for (auto n = 1 + rng.below(8); flows && n > 0 && !asked.empty(); --n) {
                    const auto& ref = asked[rng.below(asked.size())].first;
                    if (!desk.asked(ref)) continue;
                    if (rng.below(4) == 0) {
                        desk.failed(now, ref);
                        twins_desk.failed(now, ref);
                    } else {
                        desk.arrived(ref);
                        twins_desk.arrived(ref);
                    }
                }
                break;
            case 10:
                if (k != nullptr && tellers[k->said.blob].insert(some).second) {
                    awaited.told(k->said.blob);
                }
                break;
            case 11:
                if (!present.erase(some)) present.insert(some);
                ++now_so.members;
                break;
            case 12:
                now += std::chrono::milliseconds(rng.below(3000));
                break;
            case 13:
                if (rng.below(20) == 0) now_so.closed = !now_so.closed;
                break;
            case 14:
                if (k == nullptr || rng.below(10) > 0) break;
                desk.drop(k->said.blob, dropped);
                twins_desk.drop(k->said.blob, dropped);
                break;
            case 15:
                // Its own part counts, whatever the others say.
                if (!book.disputed({i, 1}, inputs)) break;
                book.add({{node(0), open_round, {i, 1}, inputs, blob_of(i, 0)}, {}});
                break;
            default:
                desk.made(blob_of(i, 0), open_round);
                twins_desk.made(blob_of(i, 0), open_round);
                break;
        }
        if (rng.below(3000) == 0) open();
        if (rng.below(3000) == 0) inputs = result_of(std::to_string(rng.below(2)));
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(crew_awaited_parts)

BOOST_AUTO_TEST_CASE(some_shards_are_found_in_order) {
    shard_set a, b;
    BOOST_TEST(a.next(0) == shard_set::size_max);
    for (const std::size_t i : {0u, 63u, 64u, 700u, 1023u}) a.insert(i);
    b.insert(65);
    BOOST_TEST((a.contains(64) && !a.contains(65)));
    std::vector<std::size_t> seen;
    for (auto i = a.next(0); i < shard_set::size_max; i = a.next(i + 1)) seen.push_back(i);
    BOOST_TEST((seen == std::vector<std::size_t>{0, 63, 64, 700, 1023}));
    BOOST_TEST(shard_set::next(a, b, 65) == 65u);
    a.erase(700);
    BOOST_TEST(shard_set::next(a, b, 66) == 1023u);
    b.insert(a);
    BOOST_TEST((b.contains(0) && b.contains(65)));
    a.clear();
    BOOST_TEST(a.next(0) == shard_set::size_max);
}

BOOST_AUTO_TEST_CASE(asks_for_what_one_who_looks_at_everything_asks_for) {
    std::size_t short_of_room = 0;
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        base::rng rng(seed);
        awaiting a;
        a.open();
        for (int step = 0; step < 3000; ++step) {
            a.happen(rng, step / 500 % 2 == 1);
            // Not after every event, as while lanes are computed.
            if (rng.below(10) == 0) continue;
            a.look();
            BOOST_REQUIRE_MESSAGE(a.asked == a.twin_asked, "seed " << seed << " step " << step);
            short_of_room += !a.desk.has_room();
        }
        BOOST_TEST(a.asked.size() > shards);
        BOOST_TEST(!a.awaited.all_here());
        a.end_well();
        BOOST_TEST(a.awaited.all_here());
    }
    BOOST_TEST(short_of_room > 0u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training::crew_protocol
