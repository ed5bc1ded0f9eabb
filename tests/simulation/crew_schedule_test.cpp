// Leases: nodes do not wait for one another's messages, nor for a steward that is gone.
#include <array>

#include "tests/simulation/crew_fixture.hpp"

namespace tequio::simulation {
namespace {

/// Looks after every event at who has work.
class idle_watch {
public:
    idle_watch(crew_world& world, std::size_t nodes) : world_(world), nodes_(nodes) {
        world.on_event = [this](std::size_t) { look(); };
    }
    void begin(std::set<std::size_t> who) {
        who_ = std::move(who);
        since_.assign(nodes_, world_.time().now());
        longest_ = {};
        begun_ = last_ = world_.time().now();
        idle_ = {};
        look();
    }
    /// The longest time that one of them was without work since `begin`.
    base::duration longest() const { return longest_; }
    /// Of the time since `begin`, all of them together.
    double idle_share() const {
        const auto all = (last_ - begun_) * static_cast<std::int64_t>(who_.size());
        return std::chrono::duration<double>(idle_) / std::chrono::duration<double>(all);
    }

private:
    void look() {
        const auto now = world_.time().now();
        for (const auto i : who_) {
            if (!world_.alive(i)) continue;
            if (was_idle_[i]) {
                longest_ = std::max(longest_, now - since_[i]);
                idle_ += now - last_;
            }
            was_idle_[i] = !world_.working(i);
            if (!was_idle_[i]) since_[i] = now;
        }
        last_ = now;
    }
    crew_world& world_;
    std::size_t nodes_;
    std::set<std::size_t> who_;
    std::vector<base::time_point> since_;
    std::map<std::size_t, bool> was_idle_;
    base::duration longest_{}, idle_{};
    base::time_point last_{}, begun_{};
};

lane_functions& wide() {
    static const auto functions = make_hash_functions({.lanes = 60, .rounds = 2});
    return *functions;
}

enum class fault { killed, stopped, cut_off };

/// The steward of four goes away while there are lanes enough for everybody; how long a survivor
/// was without work then.
base::duration without_steward(fault what, std::uint64_t seed) {
    crew_world world(wide(), {.nodes = 4, .seed = seed});
    idle_watch watch(world, 4);
    world.start_all();
    base::rng rng = world.rng("fault");
    const auto when = rng.between(8s, 24s);
    world.run_for(when);
    BOOST_REQUIRE(world.view(0).round == 0u);
    const auto steward = world.steward(0);
    BOOST_REQUIRE(steward.has_value());
    std::set<std::size_t> others{0, 1, 2, 3};
    others.erase(*steward);
    if (what == fault::killed) {
        world.crash(*steward);
    } else {
        world.network().cut({*steward}, others);
        world.network().cut(others, {*steward});
        if (what == fault::stopped) world.owner_comes(*steward);
    }
    watch.begin(others);
    world.run_for(10s);
    BOOST_TEST(world.view(*others.begin()).round == 0u);
    return watch.longest();
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_steward_that_goes_costs_three_seconds_of_idle_lanes_at_most) {
    const auto first = fresh_seed("a_steward_that_goes_costs_three_seconds_of_idle_lanes_at_most");
    std::array<base::duration, 3> worst{};
    for (std::uint64_t i = 0; i < 12; ++i) {
        for (const auto what : {fault::killed, fault::stopped, fault::cut_off}) {
            const auto idle = without_steward(what, first + i);
            auto& most = worst[static_cast<std::size_t>(what)];
            most = std::max(most, idle);
            BOOST_TEST((idle <= 3s), "seed " << first + i << ", fault " << static_cast<int>(what)
                                             << ": idle for " << idle / 1ms << " ms");
        }
    }
    BOOST_TEST_MESSAGE("longest idle: killed " << worst[0] / 1ms << " ms, stopped "
                                               << worst[1] / 1ms << " ms, cut off "
                                               << worst[2] / 1ms << " ms");
}

BOOST_AUTO_TEST_CASE(nodes_far_apart_wait_little_between_lanes) {
    const network_conditions far{.delay_min = 150ms, .delay_max = 250ms};
    crew_world world(wide(), {.nodes = 4, .seed = 51, .network = far});
    idle_watch watch(world, 4);
    world.start_all();
    run_until(world, 60s, [&] { return world.working(0) && world.working(3); });
    world.run_for(3s);
    watch.begin({0, 1, 2, 3});
    world.run_for(14s);
    BOOST_TEST(world.view(0).round == 0u);
    BOOST_TEST_MESSAGE("idle share " << watch.idle_share() << ", longest " << watch.longest() / 1ms
                                     << " ms");
    // A word there and back takes a fifth of a lane's time, a sixth of all time if waited for.
    BOOST_TEST(watch.idle_share() < 0.04);
}

BOOST_AUTO_TEST_CASE(one_node_for_sixteen_lanes_is_never_idle) {
    const auto functions = make_hash_functions({.lanes = 16, .rounds = 3});
    crew_world world(*functions, {.nodes = 1, .seed = 52});
    idle_watch watch(world, 1);
    world.start_all();
    run_until(world, 10s, [&] { return world.working(0); });
    watch.begin({0});
    finish_as_alone(world, replay(*functions), 200s);
    BOOST_TEST(world.log(0).lanes_run == 48u);
    BOOST_TEST((watch.longest() < 6s), watch.longest() / 1ms << " ms");  // the last check's wait
}

BOOST_AUTO_TEST_CASE(forty_nodes_for_sixteen_lanes_check_what_they_do_not_compute) {
    const auto functions = make_hash_functions({.lanes = 16, .rounds = 2});
    crew_world world(*functions, {.nodes = 40, .seed = 53, .check_every = 20});
    world.start_all();
    finish_as_alone(world, replay(*functions), 60s);
    BOOST_TEST(world.view(0).checked_share == 1.0);
    std::uint64_t lanes = 0;
    for (std::size_t i = 0; i < 40; ++i) lanes += world.log(i).lanes_run;
    BOOST_TEST_MESSAGE(lanes << " lanes run, " << world.time().now().time_since_epoch() / 1ms
                             << " ms");
    BOOST_TEST(lanes >= 64u);
    BOOST_TEST(lanes <= 3u * 32);
}

BOOST_AUTO_TEST_CASE(a_killed_worker_costs_one_lanes_time_at_most) {
    // Four nodes, one of them killed in the middle of a lane: its lane is begun again, no other.
    const auto functions = make_hash_functions({.lanes = 24, .rounds = 1});
    const auto alone = replay(*functions);
    for (const std::uint64_t seed : {54, 55, 56, 57, 58, 59}) {
        crew_world world(*functions, {.nodes = 4, .seed = seed});
        world.start_all();
        world.run_for(world.rng("kill").between(6s, 10s));
        const auto steward = world.steward(0);
        BOOST_REQUIRE(steward.has_value());
        const std::size_t victim = (*steward + 1) % 4;
        world.crash(victim);
        const auto survivor = *steward;
        std::uint64_t claims_before = 0;
        for (const auto& m : world.view(survivor).members) claims_before += m.lanes_done;
        const auto killed_at = world.time().now();
        run_until(world, 120s, [&] {
            for (std::size_t i = 0; i < 4; ++i) {
                if (world.alive(i) && world.view(i).state != job_state::done) return false;
            }
            return true;
        });
        BOOST_TEST(world.all_agree_with(alone));
        // 48 results are needed (all are newcomers), each 1.6 to 2.4 s on three nodes; one lane's
        // time, and what closing, merging and the last checks' end take.
        const auto left = 48 - std::min<std::uint64_t>(claims_before, 48);
        const auto bound = std::chrono::duration<double>(2.2 * (static_cast<double>(left) / 3 + 1));
        const auto took = std::chrono::duration<double>(world.time().now() - killed_at);
        BOOST_TEST(took.count() <= bound.count() + 6,
                   "seed " << seed << ": " << took.count() << " s for " << left << " results");
    }
}

}  // namespace tequio::simulation
