/// Teams of real worker processes whose words pass desks, streams and virtual links: slow ones, and
/// links that are cut on the way.

#include <poll.h>

#include <boost/test/unit_test.hpp>

#include "node/core/team_desk.hpp"
#include "node/worker/compute_worker.hpp"
#include "tests/unit/node/worker_job.hpp"
#include "tests/unit/p2p/virtual_swarm.hpp"

using namespace tequio;
using namespace tequio::node;
using namespace std::chrono_literals;

namespace {

constexpr int patience_ms = 60000;

struct member {
    test::virtual_node* node = nullptr;
    std::optional<state_memory> state;
    std::unique_ptr<compute_worker> worker;
    std::unique_ptr<team_desk> desk;
    std::optional<worker_finished> done;
    std::string failure;
    bool over() const { return done || !failure.empty(); }
};

class linked_team {
public:
    linked_team(const test_job& job, std::uint32_t count) : job_(job), files_(job.blobs()) {
        for (std::uint32_t i = 0; i < count; ++i) {
            auto& m = members_.emplace_back();
            m.node = &swarm.add();
            m.state = job.make_state(i, count);
            m.worker = std::make_unique<compute_worker>(
                compute_worker_options{TEQUIO_WORKER_CHILD, 1, 0, false});
            m.desk = std::make_unique<team_desk>(team_patience{}, m.node->id());
            BOOST_REQUIRE(m.worker->start());
            m.worker->open_job(job.text(), files_, *m.state, i, count);
            m.worker->begin({});
            while (!m.over()) {
                BOOST_REQUIRE(m.worker->wait(patience_ms));
                take_events(i);
            }
            BOOST_REQUIRE(m.done);
        }
        for (const auto& a : members_) {
            for (const auto& b : members_) {
                if (&a == &b) continue;
                BOOST_REQUIRE(swarm.command(*a.node, p2p::add_address{b.node->where}));
            }
        }
    }

    void begin(const char* attempt) {
        for (std::uint32_t i = 0; i < members_.size(); ++i) {
            auto& m = members_[i];
            m.done.reset();
            m.failure.clear();
            training::work_item item;
            item.kind = training::work_kind::lane;
            item.slice = {i, static_cast<std::uint32_t>(members_.size())};
            for (const auto& other : members_) item.team.push_back(other.node->id());
            item.session = base::sha256(attempt);
            session_ = item.session;
            team_effects out;
            BOOST_REQUIRE(m.desk->begin(swarm.now(), task_, job_.recipe, item, out));
            obey(i, out);
            compute_item wanted;
            wanted.kind = compute_kind::lane;
            wanted.team = true;
            m.worker->begin(wanted);
        }
    }
    /// Lets the workers go on for a moment, and the links for `passes` of virtual time.
    void look(base::duration passes = 50ms) {
        std::vector<pollfd> waiting;
        for (auto& m : members_) waiting.push_back({m.worker->native_handle(), POLLIN, 0});
        ::poll(waiting.data(), waiting.size(), 5);
        for (std::uint32_t i = 0; i < members_.size(); ++i) take_events(i);
        swarm.run_for(passes);
        for (std::uint32_t i = 0; i < members_.size(); ++i) hear(i);
    }
    bool over() const {
        return std::all_of(members_.begin(), members_.end(),
                           [](const auto& m) { return m.over(); });
    }
    member& operator[](std::size_t i) { return members_[i]; }
    std::size_t messages = 0;
    test::virtual_swarm swarm{11};

private:
    void take_events(std::uint32_t i) {
        auto& m = members_[i];
        for (auto& e : m.worker->take_events()) {
            team_effects out;
            const auto note = [&](std::uint32_t of, team_note_kind what) {
                m.desk->noted(swarm.now(), {task_, session_, of, what}, out);
            };
            if (auto* said = std::get_if<worker_team_said>(&e)) {
                ++messages;
                const p2p::shared_bytes body{said->letter, said->letter->bytes()};
                BOOST_REQUIRE(m.desk->said(
                    swarm.now(), {task_, session_, said->to, said->letter->tag(), body}, out));
            } else if (const auto* taken = std::get_if<worker_team_taken>(&e)) {
                note(taken->from, team_note_kind::taken);
            } else if (const auto* waits = std::get_if<worker_team_waits>(&e)) {
                note(waits->member, team_note_kind::waits);
            } else if (std::holds_alternative<worker_team_blames>(e)) {
                BOOST_ERROR("nobody said anything that was not due");
            } else if (auto* done = std::get_if<worker_finished>(&e)) {
                m.done = std::move(*done);
                m.desk->end("", out);
            } else if (auto* failed = std::get_if<worker_item_failed>(&e)) {
                m.failure = m.desk->given_up().empty() ? failed->reason : m.desk->given_up();
                m.desk->end(m.failure, out);
            }
            obey(i, out);
        }
    }
    void hear(std::uint32_t i) {
        auto& m = members_[i];
        team_effects out;
        for (auto& said : std::exchange(m.node->said, {})) m.desk->heard(swarm.now(), said, out);
        for (const auto& by : std::exchange(m.node->taken, {})) {
            m.desk->taken(swarm.now(), {by, session_}, out);
        }
        for (const auto& end : std::exchange(m.node->closed, {})) m.desk->closed(end, out);
        if (m.desk->next_deadline() <= swarm.now()) m.desk->tick(swarm.now(), out);
        obey(i, out);
    }
    void obey(std::uint32_t i, team_effects& out) {
        auto& m = members_[i];
        for (auto& command : out.network) {
            BOOST_REQUIRE(swarm.command(*m.node, std::move(command)));
        }
        for (auto& effect : out.shell) {
            if (auto* letter = std::get_if<team_deliver>(&effect)) {
                const auto bytes = base::byte_view(letter->bytes).subspan(training::team_tag_bytes);
                m.worker->hand_in(letter->from, *team_letter::make(letter->tag, bytes).value());
            } else if (const auto* credit = std::get_if<team_credit>(&effect)) {
                m.worker->credit(credit->by);
            } else if (std::holds_alternative<stop_compute>(effect)) {
                m.worker->stop_item();
            }
        }
    }

    const test_job& job_;
    std::vector<unique_fd> files_;
    base::task_id task_{base::sha256("task").bytes};
    base::digest session_;
    std::deque<member> members_;
};

compute_outcome alone(const test_job& job) {
    const auto state = job.make_state();
    const auto files = job.blobs();
    compute_worker worker({TEQUIO_WORKER_CHILD, 1, 0, false});
    BOOST_REQUIRE(worker.start());
    worker.open_job(job.text(), files, state);
    compute_outcome out;
    for (const auto kind : {compute_kind::prepare, compute_kind::lane}) {
        compute_item item;
        item.kind = kind;
        worker.begin(item);
        while (worker.busy()) {
            BOOST_REQUIRE(worker.wait(patience_ms));
            for (auto& e : worker.take_events()) {
                if (auto* done = std::get_if<worker_finished>(&e)) out = done->outcome;
            }
        }
    }
    return out;
}

void same_lane(const linked_team& team, const member& lead, const compute_outcome& expected) {
    BOOST_REQUIRE_MESSAGE(lead.done, lead.failure);
    BOOST_TEST((lead.done->outcome.blob == expected.blob));
    BOOST_TEST((lead.done->outcome.trace == expected.trace));
    BOOST_TEST(lead.done->outcome.loss == expected.loss);
    BOOST_TEST(team.messages > 50U);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(team_over_links)

BOOST_AUTO_TEST_CASE(a_lane_over_slow_links_has_the_bits_of_one_worker) {
    for (const char* family : {"gpt2", "llama"}) {
        const auto job = test_job::divisible(family, "bf16");
        const auto expected = alone(job);
        linked_team team(job, 3);
        team.begin("first");
        while (!team.over()) team.look();
        same_lane(team, team[0], expected);
        // And another one with the same streams' ends.
        team.begin("second");
        while (!team.over()) team.look();
        same_lane(team, team[0], expected);
    }
}

BOOST_AUTO_TEST_CASE(links_that_are_cut_cost_time_and_no_bit) {
    const auto job = test_job::divisible("gpt2", "mxint8");
    const auto expected = alone(job);
    linked_team team(job, 2);
    team.begin("first");
    for (int cut = 0; cut < 3; ++cut) {
        const auto before = team.messages;
        while (!team.over() && team.messages < before + 15) team.look();
        team.swarm.partition([](std::size_t i) { return i == 0; });
        for (int i = 0; i < 20; ++i) team.look(1s);
        team.swarm.heal();
    }
    while (!team.over()) team.look();
    same_lane(team, team[0], expected);
}

BOOST_AUTO_TEST_CASE(a_member_that_never_comes_is_named_by_all_and_the_next_attempt_runs) {
    const auto job = test_job::divisible("llama", "f32");
    linked_team team(job, 3);
    team.begin("first");
    team[1].worker->freeze();
    while (!team[0].over() || !team[2].over()) team.look(1s);
    for (const std::size_t i : {0U, 2U}) {
        BOOST_TEST(team[i].failure.find(team[1].node->id().brief() + ", which has slice 1") !=
                   std::string::npos);
    }
    team[1].worker->thaw();
    while (!team.over()) team.look(1s);
    BOOST_TEST(team[1].failure.find("gave the lane up: nothing came for") != std::string::npos);
    team.begin("second");
    while (!team.over()) team.look();
    same_lane(team, team[0], alone(job));
}

BOOST_AUTO_TEST_SUITE_END()
