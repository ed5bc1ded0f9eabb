// Two desks over a network that loses, repeats and delays, with nodes that are killed at any
// moment: nothing is ever signed twice, and when the faults end both ledgers agree.

#include <map>
#include <set>

#include "base/rng.hpp"
#include "ledger/wire/desk_message.hpp"
#include "tests/property/ledger/seed.hpp"
#include "tests/unit/ledger/fixture.hpp"

using namespace tequio;
using namespace tequio::ledger;
using namespace tequio::ledger::testing;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

/// All texts that ever left a node with its signature, by node and statement.
class signature_observer {
public:
    void saw_message(const identity& from, const message& m) {
        if (const auto* o = std::get_if<offer>(&m)) saw_note(from, o->note);
        if (const auto* a = std::get_if<answer>(&m)) saw_note(from, a->note);
    }
    void saw_note(const identity& from, const std::string& encoded) {
        const auto note = base::parse_signed_note(encoded);
        BOOST_REQUIRE(note);
        if (!note->has_signature_by({std::string(worker_name), from.log->public_part()}) &&
            !note->has_signature_by({std::string(checker_name), from.log->public_part()})) {
            return;
        }
        const auto r = parse_receipt(note->text);
        const auto key =
            r ? statement_key(statement::receipt, r->facts)
              : statement_key(statement::unanswered, parse_unanswered(note->text)->offered.facts);
        const auto [first, fresh] = said_.try_emplace({from.node, key}, note->text);
        BOOST_REQUIRE_MESSAGE(fresh || first->second == note->text,
                              "two texts signed for one piece of work");
    }

private:
    std::map<std::pair<base::node_id, base::digest>, std::string> said_;
};

struct machine {
    explicit machine(const identity& who) : self(who) {}
    const identity& self;
    memory_store disk;
    std::optional<receipt_desk> desk;
    std::vector<write_wanted> unwritten;  ///< lost when the node is killed
};

class world {
public:
    explicit world(std::uint64_t seed) : random_(seed) {
        for (auto& m : machines_) start(m);
    }

    /// Faults for a while, then none: both ledgers must agree in the end.
    void run() {
        for (int step = 0; step < 3000; ++step) one_step(true);
        for (auto& m : machines_) {
            if (!m.desk) start(m);
        }
        for (int step = 0; step < 20000 && !quiet(); ++step) one_step(false);
        BOOST_REQUIRE(quiet());
        compare();
    }

private:
    struct packet {
        base::time_point at;
        std::size_t to;
        base::byte_vector bytes;
    };

    desk_time time() const { return {now_, {noon.seconds + now_.time_since_epoch() / seconds(1)}}; }

    void start(machine& m) {
        m.desk.emplace(desk_config{}, m.self.node, m.self.log, m.self.certificate,
                       m.disk.open_offers(), time());
        tell(m, peer_reachable{other(m).self.node});
    }
    machine& other(const machine& m) { return &m == &machines_[0] ? machines_[1] : machines_[0]; }

    void tell(machine& m, const desk_event& e) {
        desk_effects out;
        // A peer restarted or not, honest messages are never called bad.
        BOOST_REQUIRE(m.desk->handle(time(), e, out));
        m.desk->check();
        for (auto& effect : out) carry_out(m, effect);
    }

    void carry_out(machine& m, desk_effect& effect) {
        if (auto* s = std::get_if<send_desk_message>(&effect)) {
            seen_.saw_message(m.self, *decode_message(s->bytes));
            const std::size_t to = &m == &machines_[0] ? 1 : 0;
            for (auto copies = faults_ ? random_.below(3) : 1; copies > 0; --copies) {
                const auto delay = random_.between(milliseconds(1), seconds(faults_ ? 90 : 1));
                network_.push_back({now_ + delay, to, s->bytes});
            }
        } else if (auto* c = std::get_if<confirm_wanted>(&effect)) {
            // The node agrees to what is true: here, that everything matched.
            const bool agrees = c->what.facts.verdict == receipt_verdict::matched;
            auto verdict = agrees ? confirm::answer::agree : confirm::answer::disagree;
            if (faults_ && random_.below(4) == 0) verdict = confirm::answer::not_yet;
            questions_.push_back({&m, confirm{c->request, verdict, "no"}});
        } else if (auto* w = std::get_if<write_wanted>(&effect)) {
            m.unwritten.push_back(*w);
        }
    }

    void write_some(machine& m) {
        if (m.unwritten.empty() || !m.desk) return;
        const auto w = m.unwritten.front();
        m.unwritten.erase(m.unwritten.begin());
        const auto outcome = m.disk.carry_out(w.what);
        if (outcome.what == write_outcome::kind::written && outcome.index) {
            seen_.saw_note(m.self, m.disk.notes.back());
        }
        // Killed between the write and its answer: the worst moment.
        if (faults_ && random_.below(40) == 0) return kill(m);
        tell(m, written{w.request, outcome});
    }

    void kill(machine& m) {
        m.desk.reset();
        m.unwritten.clear();
        std::erase_if(questions_, [&](const auto& q) { return q.first == &m; });
    }

    void one_step(bool faults) {
        faults_ = faults;
        now_ += milliseconds(100 + random_.below(900));
        for (auto& m : machines_) {
            if (!m.desk && random_.below(20) == 0) start(m);
            if (!m.desk) continue;
            if (faults && random_.below(300) == 0) {
                kill(m);
                continue;
            }
            if (faults && random_.below(12) == 0) new_draft(m);
            if (m.desk->next_deadline() <= now_) tell(m, desk_tick{});
        }
        while (!questions_.empty()) {
            const auto q = questions_.back();
            questions_.pop_back();
            tell(*q.first, q.second);
        }
        deliver();
        for (auto& m : machines_) {
            for (auto n = faults ? random_.below(3) : 10; n > 0; --n) write_some(m);
        }
    }

    void new_draft(machine& m) {
        // The same few lanes again and again, and not always with the same verdict: a crew that
        // reports a check twice, perhaps after a restart, must not get two receipts.
        auto facts = lane_facts(other(m).self, m.self, 0, random_.below(60));
        if (random_.below(5) == 0) facts.verdict = receipt_verdict::refuted;
        drafted_.insert({m.self.node, facts.lane->value});
        tell(m, draft{facts, base::byte_vector(random_.below(20), 1)});
    }

    void deliver() {
        auto due = std::move(network_);
        network_.clear();
        for (auto& p : due) {
            if (p.at > now_) {
                network_.push_back(std::move(p));
            } else if (auto& to = machines_[p.to]; to.desk) {
                tell(to, desk_message{other(to).self.node, p.bytes});
            }
        }
    }

    bool quiet() const {
        if (!network_.empty() || !questions_.empty()) return false;
        return std::all_of(std::begin(machines_), std::end(machines_), [](const machine& m) {
            return m.desk && m.unwritten.empty() && m.desk->waiting() == 0;
        });
    }

    void compare() {
        for (auto& m : machines_) {
            std::set<std::string> theirs(other(m).disk.notes.begin(), other(m).disk.notes.end());
            std::set<std::string> mine;
            for (const auto& note : m.disk.notes) {
                BOOST_REQUIRE(mine.insert(note).second);
                if (note == "opening") continue;
                BOOST_REQUIRE(verify_entry_note(note).has_value());
                // What I keep as the checker's side is exactly what the worker keeps too.
                const auto r = parse_receipt(base::parse_signed_note(note)->text);
                if (r && r->facts.checker == m.self.node) BOOST_TEST(theirs.contains(note));
            }
            BOOST_TEST(mine.size() > 5u);
            BOOST_TEST(m.disk.offers.empty());
        }
    }

    base::rng random_;
    base::time_point now_{seconds(1)};
    bool faults_ = true;
    const identity alice_{1}, bob_{2};
    machine machines_[2]{machine(alice_), machine(bob_)};
    std::vector<packet> network_;
    std::vector<std::pair<machine*, confirm>> questions_;
    std::set<std::pair<base::node_id, std::uint64_t>> drafted_;
    signature_observer seen_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(nothing_is_signed_twice_and_ledgers_agree_after_the_faults) {
    for (std::uint64_t i = 0; i < 12; ++i) {
        BOOST_TEST_CONTEXT("world " << i << ", seed " << run_seed()) {
            world(run_seed() * 1000 + i).run();
        }
    }
}
