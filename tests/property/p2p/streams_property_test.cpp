/// Two ends of a stream, links that are lost or replaced at any moment, at one end or both, with
/// what was on its way lost or late: messages arrive once, in order, as they were; nobody is
/// blamed; windows hold.

#include <rapidcheck.h>
#include <boost/test/unit_test.hpp>
#include <deque>

#include "p2p/core/stream_table.hpp"
#include "tests/unit/p2p/virtual_swarm.hpp"

using namespace tequio;
using namespace tequio::test;

namespace {

const auto name = base::sha256("a lane");

class two_ends {
public:
    two_ends() {
        config_.stream_window = 300'000;
        for (auto& e : ends_) e.core.emplace(config_);
        for (std::size_t i = 0; i < 2; ++i) ends_[i].self = p2p::identity(key_of(i + 1)).node();
    }
    void open(std::size_t i) {
        p2p::part_effects out;
        RC_ASSERT(ends_[i].core->open({ends_[1 - i].self, name, 1 << 20}, true, out).has_value());
        carry_out(i, out);
    }
    void say(std::size_t i, std::uint64_t seed, std::size_t size) {
        p2p::part_effects out;
        const auto kept = std::make_shared<const base::byte_vector>(bytes_of(seed, size));
        if (!ends_[i].core->send({ends_[1 - i].self, name, {}, {kept, *kept}}, out)) return;
        ends_[i].said.push_back(*kept);
        carry_out(i, out);
    }
    void take(std::size_t i) {
        if (ends_[i].taken == ends_[i].heard) return;
        ++ends_[i].taken;
        p2p::part_effects out;
        ends_[i].core->take({ends_[1 - i].self, name}, out);
        carry_out(i, out);
    }
    /// The next of what is on its way to end i.
    void deliver(std::size_t i) {
        auto& way = ends_[i].way;
        if (way.empty()) return;
        auto m = std::move(way.front());
        way.pop_front();
        hear(i, std::move(m));
    }
    /// End i has another link: of what was on its way to the other some is lost, some comes late.
    void replace_link(std::size_t i, std::size_t lost) {
        auto& way = ends_[1 - i].way;
        auto& late = ends_[1 - i].late;
        for (; lost > 0 && !way.empty(); --lost) way.pop_back();
        late.insert(late.end(), way.begin(), way.end());
        way.clear();
        ends_[i].core->peer_down(ends_[1 - i].self);
        p2p::part_effects out;
        ends_[i].core->peer_up(ends_[1 - i].self, out);
        carry_out(i, out);
    }
    void deliver_late(std::size_t i) {
        auto& late = ends_[i].late;
        if (late.empty()) return;
        auto m = std::move(late.front());
        late.pop_front();
        hear(i, std::move(m));
    }
    bool idle() const {
        return std::all_of(ends_.begin(), ends_.end(), [](const end& e) {
            return e.way.empty() && e.late.empty() && e.taken == e.heard;
        });
    }
    bool all_heard() const {
        return ends_[0].heard == ends_[1].said.size() && ends_[1].heard == ends_[0].said.size();
    }

private:
    struct end {
        base::node_id self;
        std::optional<p2p::stream_table> core;
        std::vector<base::byte_vector> said;
        std::size_t heard = 0, taken = 0;
        std::deque<p2p::wire::message> way, late;  ///< to this end
    };

    void hear(std::size_t i, p2p::wire::message m) {
        p2p::part_effects out;
        auto& core = *ends_[i].core;
        const auto& from = ends_[1 - i].self;
        // As they travel.
        auto read = p2p::wire::decode_message(p2p::wire::encode(m));
        RC_ASSERT(read.has_value());
        if (const auto* opened = std::get_if<p2p::wire::stream_open>(&*read)) {
            core.opened(from, *opened, out);
        } else if (auto* part = std::get_if<p2p::wire::stream_chunk>(&*read)) {
            core.came(from, std::move(*part), out);
        } else if (const auto* ack = std::get_if<p2p::wire::stream_ack>(&*read)) {
            core.acknowledged(from, *ack, out);
        }
        carry_out(i, out);
    }
    void carry_out(std::size_t i, p2p::part_effects& out) {
        RC_ASSERT(out.strikes.empty());
        ends_[i].core->check();
        for (auto& e : out.shell) {
            const auto* m = std::get_if<p2p::stream_message>(&e);
            if (m == nullptr) continue;
            RC_ASSERT(ends_[i].heard < ends_[1 - i].said.size());
            RC_ASSERT(m->bytes == ends_[1 - i].said[ends_[i].heard]);
            ++ends_[i].heard;
        }
        for (auto& s : out.sends) ends_[1 - i].way.push_back(std::move(s.body));
    }

    p2p::network_config config_;
    std::array<end, 2> ends_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(streams_property)

BOOST_AUTO_TEST_CASE(nothing_is_lost_repeated_or_blamed_whatever_links_do) {
    BOOST_TEST(rc::check("two ends", [] {
        two_ends t;
        t.open(0);
        const auto steps = *rc::gen::inRange(10, 200);
        bool second = false;
        for (int step = 0; step < steps; ++step) {
            const std::size_t i = *rc::gen::inRange<std::size_t>(0, 2);
            const auto what = *rc::gen::inRange(0, 12);
            if (what == 0 && !second) {
                second = true;
                t.open(1);
            } else if (what <= 2 && (i == 0 || second)) {
                t.say(i, *rc::gen::inRange<std::uint64_t>(0, 1000),
                      *rc::gen::element<std::size_t>(0, 1, 1000, 131'072, 131'073, 900'000));
            } else if (what == 3) {
                t.take(i);
            } else if (what == 4 && (i == 0 || second)) {
                t.replace_link(i, *rc::gen::inRange<std::size_t>(0, 5));
            } else if (what == 5) {
                t.deliver_late(i);
            } else {
                t.deliver(i);
            }
        }
        if (!second) t.open(1);
        // The faults end. Old links end before their successors are used for long.
        while (!t.idle()) {
            for (std::size_t i = 0; i < 2; ++i) {
                t.deliver_late(i);
                t.deliver(i);
                t.take(i);
            }
        }
        // Whoever lost the other's announcement hears it again with the next link.
        t.replace_link(0, 100);
        t.replace_link(1, 0);
        while (!t.idle()) {
            for (std::size_t i = 0; i < 2; ++i) {
                t.deliver_late(i);
                t.deliver(i);
                t.take(i);
            }
        }
        RC_ASSERT(t.all_heard());
    }));
}

BOOST_AUTO_TEST_SUITE_END()
