#pragma once

/// A swarm of `network` cores on virtual links and virtual time, in one thread, from one seed. The
/// shell of each node is a map of blobs and a list of what it was told. Links are reliable and
/// ordered, as TCP is, until they are cut.

#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "base/sha256.hpp"
#include "p2p/network.hpp"
#include "p2p/wire/messages.hpp"

namespace tequio::test {

using namespace std::chrono_literals;

inline base::signing_key key_of(std::uint64_t number) {
    return base::signing_key::from_seed(base::sha256("key " + std::to_string(number)).bytes);
}

/// `size` bytes that follow from `seed`.
inline base::byte_vector bytes_of(std::uint64_t seed, std::size_t size) {
    base::rng chance(seed);
    base::byte_vector out(size);
    for (auto& b : out) b = static_cast<std::uint8_t>(chance.next());
    return out;
}

/// Piece `index` of a blob held whole.
inline base::blob_piece piece_of(const base::byte_vector& blob, std::uint64_t index) {
    const auto leaves = base::blob_leaves(blob);
    const auto from = index * base::piece_size_bytes;
    const auto to = std::min<std::uint64_t>(blob.size(), from + base::piece_size_bytes);
    return {index,
            {blob.begin() + static_cast<std::ptrdiff_t>(from),
             blob.begin() + static_cast<std::ptrdiff_t>(to)},
            base::merkle_path(leaves, index)};
}

struct virtual_node {
    std::size_t index = 0;
    std::unique_ptr<p2p::identity> self;
    p2p::address where;
    std::unique_ptr<p2p::network> core;  ///< null while down
    base::byte_vector saved_peers;
    std::uint64_t generation = 0;
    p2p::network_config config;

    std::map<base::blob_ref, base::byte_vector> blobs;  ///< whole ones, served
    std::map<base::blob_ref, std::map<std::uint64_t, base::byte_vector>> pieces;
    std::vector<base::blob_ref> completed;
    std::vector<std::pair<base::blob_ref, std::string>> failed;
    std::vector<base::piece_run> completed_runs, failed_runs;  ///< of the same
    std::vector<p2p::app_message> heard;
    std::vector<p2p::note_received> notes;
    std::vector<p2p::stream_message> said;  ///< what came in streams
    std::vector<base::node_id> taken;       ///< by whom
    std::vector<p2p::stream_closed> closed;
    std::size_t moved = 0;
    std::vector<base::node_id> ups;
    std::vector<std::pair<base::node_id, p2p::link_ending>> downs;
    std::size_t dials = 0;
    std::uint64_t bytes_sent = 0;

    /// What to say of a note; accepts everything unless set.
    std::function<p2p::note_verdict(const p2p::note_received&)> judge;
    /// Changes a message on its way out: how a node is made to lie. Returns false to drop it.
    std::function<bool(p2p::wire::message&)> tamper;
    base::duration late{};  ///< what it sends comes so much later

    const base::node_id& id() const { return self->node(); }
};

class virtual_swarm {
public:
    explicit virtual_swarm(std::uint64_t seed, p2p::network_config config = {})
        : seed_(seed), config_(config), chance_(base::rng(seed).split("virtual links")) {
        config_.wall_at_start = {1'700'000'000};
    }

    virtual_node& add() { return add(config_); }
    /// One that is set up in another way than the rest.
    virtual_node& add(const p2p::network_config& config) {
        auto n = std::make_unique<virtual_node>();
        n->config = config;
        n->index = nodes_.size();
        n->self = std::make_unique<p2p::identity>(key_of(n->index + 1));
        n->where = {"10.0.0." + std::to_string(n->index + 1), 47100};
        nodes_.push_back(std::move(n));
        start(*nodes_.back());
        return *nodes_.back();
    }

    virtual_node& node(std::size_t index) { return *nodes_[index]; }
    std::size_t size() const { return nodes_.size(); }
    base::time_point now() const { return now_; }

    /// (Re)starts a node with what it saved.
    void start(virtual_node& n) {
        ++n.generation;
        auto config = n.config;
        config.wall_at_start = config_.wall_at_start;
        config.wall_at_start.seconds +=
            std::chrono::duration_cast<std::chrono::seconds>(now_.time_since_epoch()).count();
        n.core = std::make_unique<p2p::network>(
            config, *n.self,
            base::rng(seed_).split("node " + std::to_string(n.index) + " start " +
                                   std::to_string(n.generation)),
            n.saved_peers);
        command(n, p2p::set_own_addresses{{n.where}});
    }

    /// Power cut: others notice after `noticed`.
    void crash(virtual_node& n, base::duration noticed = 15s) {
        n.core.reset();
        ++n.generation;
        cut_links([&](const link& l) { return l.ends[0] == n.index || l.ends[1] == n.index; },
                  noticed);
    }

    /// Cuts links and keeps new ones from forming between the two groups until `heal`.
    void partition(std::function<bool(std::size_t)> left) {
        left_ = std::move(left);
        cut_links([&](const link& l) { return left_(l.ends[0]) != left_(l.ends[1]); }, 15s);
    }
    void heal() { left_ = nullptr; }

    base::result<void> command(virtual_node& n, p2p::network_event event) {
        p2p::network_effects effects;
        const auto done = n.core->handle(now_, std::move(event), effects);
        n.core->check();
        for (auto& e : effects) carry_out(n, e);
        schedule_tick(n);
        return done;
    }

    /// Runs until `done` or for `limit` of virtual time; true when `done` came true.
    bool run_until(const std::function<bool()>& done, base::duration limit) {
        const auto end = now_ + limit;
        while (!done()) {
            if (queue_.empty() || queue_.top().at > end) {
                now_ = end;
                return done();
            }
            auto next = std::move(const_cast<entry&>(queue_.top()));
            queue_.pop();
            now_ = next.at;
            next.action();
        }
        return true;
    }
    void run_for(base::duration d) {
        run_until([] { return false; }, d);
    }

    /// Digest of all effects in order.
    base::digest trace() const { return trace_; }
    std::size_t links_alive() const {
        std::size_t n = 0;
        for (const auto& l : links_) n += l.second.alive ? 1 : 0;
        return n;
    }
    base::duration delay_min = 5ms;
    base::duration delay_max = 50ms;

private:
    struct entry {
        base::time_point at;
        std::uint64_t sequence;
        std::function<void()> action;
        bool operator<(const entry& other) const {
            return std::tie(at, sequence) > std::tie(other.at, other.sequence);
        }
    };
    struct link {
        std::array<std::size_t, 2> ends{};  ///< dialler, dialled
        std::array<bool, 2> open{true, true};
        std::array<base::time_point, 2> free_at{};
        base::duration delay{};
        bool alive = true;
    };

    void at(base::time_point t, std::function<void()> action) {
        queue_.push({t, sequence_++, std::move(action)});
    }

    void schedule_tick(virtual_node& n) {
        const auto due = n.core->next_deadline();
        if (due == base::time_point::max()) return;
        auto& planned = ticks_[n.index];
        if (planned.first == n.generation && planned.second > now_ && planned.second <= due) return;
        planned = {n.generation, due};
        at(std::max(due, now_), [this, &n, generation = n.generation, due] {
            if (n.generation != generation || !n.core || ticks_[n.index].second != due) return;
            ticks_[n.index].second = {};
            command(n, p2p::tick{});
        });
    }

    void deliver(std::size_t to, std::uint64_t generation, p2p::network_event event) {
        auto& n = *nodes_[to];
        if (n.core && n.generation == generation) command(n, std::move(event));
    }

    bool reachable(std::size_t a, std::size_t b) const { return !left_ || left_(a) == left_(b); }

    template <class Match>
    void cut_links(Match match, base::duration noticed) {
        for (auto& [id, l] : links_) {
            if (!l.alive || !match(l)) continue;
            l.alive = false;
            for (int side = 0; side < 2; ++side) {
                if (!l.open[static_cast<std::size_t>(side)]) continue;
                l.open[static_cast<std::size_t>(side)] = false;
                end_later(l, id, side, noticed, {p2p::link_end::idle, false, ""});
            }
        }
    }

    void end_later(const link& l, std::uint64_t id, int side, base::duration after,
                   p2p::link_ending ending) {
        const auto to = l.ends[static_cast<std::size_t>(side)];
        at(now_ + after, [this, to, id, side, ending, generation = nodes_[to]->generation] {
            deliver(to, generation, p2p::link_down{link_id(id, side), ending});
        });
    }

    static p2p::link_id link_id(std::uint64_t id, int side) {
        return {id * 2 + static_cast<std::uint64_t>(side)};
    }

    void carry_out(virtual_node& n, p2p::network_effect& effect) {
        trace_ = base::sha256_stream()
                     .add(trace_.view())
                     .add(std::to_string(now_.time_since_epoch().count()) + " " +
                          std::to_string(n.index) + " " + std::to_string(effect.index()))
                     .finish();
        std::visit([&](auto& e) { perform(n, e); }, effect);
    }

    void perform(virtual_node& n, p2p::link_send& e) {
        const auto id = e.link.value / 2;
        const auto side = e.link.value % 2;
        trace_ = base::sha256_stream().add(trace_.view()).add(e.bytes).finish();
        auto& l = links_.at(id);
        if (!l.open[side]) return;
        if (n.tamper) {
            auto m = p2p::wire::decode_message(e.bytes);
            if (!n.tamper(*m)) return;
            e.bytes = p2p::wire::encode(*m);
        }
        n.bytes_sent += e.bytes.size();
        const auto to = l.ends[1 - side];
        // 100 MB/s, in order.
        l.free_at[side] = std::max(l.free_at[side], now_) +
                          base::duration(static_cast<std::int64_t>(e.bytes.size()) * 10);
        at(l.free_at[side] + l.delay + n.late,
           [this, to, id, side, bytes = std::move(e.bytes), generation = nodes_[to]->generation] {
               if (!links_.at(id).alive) return;
               deliver(to, generation,
                       p2p::link_message{link_id(id, static_cast<int>(1 - side)), bytes});
           });
    }

    void perform(virtual_node& n, p2p::dial& e) {
        ++n.dials;
        const auto delay = chance_.between(delay_min, delay_max);
        at(now_ + 2 * delay, [this, &n, e, delay, generation = n.generation] {
            if (n.generation != generation) return;
            auto fail = [&](p2p::link_end why) {
                deliver(n.index, generation,
                        p2p::dial_failed{e.address, e.expected, {why, false, ""}});
            };
            virtual_node* found = nullptr;
            for (auto& other : nodes_) {
                if (other->core && other->where == e.address) found = other.get();
            }
            if (found == nullptr || !reachable(n.index, found->index)) {
                return fail(p2p::link_end::connect_failed);
            }
            if (found == &n) return fail(p2p::link_end::self_connection);
            if (e.expected && *e.expected != found->id()) {
                return fail(p2p::link_end::wrong_identity);
            }
            connect(n, *found, e.address, delay);
        });
    }

    void connect(virtual_node& from, virtual_node& to, const p2p::address& where,
                 base::duration delay) {
        const auto id = next_link_++;
        auto& l = links_[id];
        l.ends = {from.index, to.index};
        l.delay = delay;
        const auto generation = to.generation;
        deliver(from.index, from.generation,
                p2p::link_up{link_id(id, 0), to.id(), where, from.where, true});
        at(now_ + delay, [this, id, generation, peer = from.id(), address = from.where] {
            auto& made = links_.at(id);
            if (!made.open[1]) return;
            auto& end = *nodes_[made.ends[1]];
            deliver(made.ends[1], generation,
                    p2p::link_up{link_id(id, 1), peer, address, end.where, false});
        });
    }

    void perform(virtual_node&, p2p::close_link& e) {
        const auto id = e.link.value / 2;
        const auto side = e.link.value % 2;
        auto& l = links_.at(id);
        if (!l.open[side]) return;
        l.open[side] = false;
        end_later(l, id, static_cast<int>(side), 0s, e.ending);
        if (!l.open[1 - side]) return;
        l.open[1 - side] = false;
        auto told = e.ending;
        told.by_peer = true;
        // Behind what was sent before.
        const auto comes = std::max(l.free_at[side] - now_, base::duration{}) + l.delay;
        end_later(l, id, static_cast<int>(1 - side), comes, told);
        at(now_ + comes, [this, id] { links_.at(id).alive = false; });
    }

    void perform(virtual_node& n, p2p::read_piece& e) {
        std::optional<base::blob_piece> piece;
        if (const auto at = n.blobs.find(e.ref); at != n.blobs.end()) {
            piece = piece_of(at->second, e.index);
        }
        at(now_ + 1ms, [this, &n, request = e.request, piece, generation = n.generation] {
            deliver(n.index, generation, p2p::piece_read{request, piece});
        });
    }
    void perform(virtual_node& n, p2p::store_piece& e) {
        n.pieces[e.ref][e.piece.index] = std::move(e.piece.bytes);
    }
    void perform(virtual_node& n, p2p::blob_complete& e) {
        base::byte_vector whole;
        for (const auto& [index, bytes] : n.pieces[e.ref]) {
            whole.insert(whole.end(), bytes.begin(), bytes.end());
        }
        if (n.pieces[e.ref].size() == e.ref.pieces()) n.blobs[e.ref] = std::move(whole);
        n.completed.push_back(e.ref);
        n.completed_runs.push_back(e.pieces);
    }
    void perform(virtual_node& n, p2p::blob_failed& e) {
        n.failed.emplace_back(e.ref, e.reason);
        n.failed_runs.push_back(e.pieces);
    }
    void perform(virtual_node& n, p2p::peer_up& e) { n.ups.push_back(e.node); }
    void perform(virtual_node& n, p2p::peer_down& e) { n.downs.emplace_back(e.node, e.ending); }
    void perform(virtual_node& n, p2p::app_message& e) { n.heard.push_back(std::move(e)); }
    void perform(virtual_node& n, p2p::stream_message& e) { n.said.push_back(std::move(e)); }
    void perform(virtual_node& n, p2p::stream_taken& e) { n.taken.push_back(e.by); }
    void perform(virtual_node& n, p2p::stream_closed& e) { n.closed.push_back(std::move(e)); }
    void perform(virtual_node& n, p2p::stream_moved&) { ++n.moved; }
    void perform(virtual_node& n, p2p::note_received& e) {
        const auto verdict = n.judge ? n.judge(e) : p2p::note_verdict::accept;
        n.notes.push_back(e);
        at(now_, [this, &n, id = e.id, verdict, generation = n.generation] {
            deliver(n.index, generation, p2p::judge_note{id, verdict, "test"});
        });
    }
    void perform(virtual_node& n, p2p::store_peers& e) { n.saved_peers = std::move(e.bytes); }

    std::uint64_t seed_;
    p2p::network_config config_;
    base::rng chance_;
    base::time_point now_{1s};
    std::uint64_t sequence_ = 0;
    std::uint64_t next_link_ = 1;
    std::priority_queue<entry> queue_;
    std::vector<std::unique_ptr<virtual_node>> nodes_;
    std::map<std::uint64_t, link> links_;
    std::map<std::size_t, std::pair<std::uint64_t, base::time_point>> ticks_;
    std::function<bool(std::size_t)> left_;
    base::digest trace_;
};

}  // namespace tequio::test
