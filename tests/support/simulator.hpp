#pragma once

/// Virtual time, a virtual network and virtual disks: everything that a swarm of cores touches, in
/// one thread, from one seed. Knows nothing of what the nodes say to one another: messages are
/// opaque bytes between node numbers, so the same harness runs one core or a whole node.
///
/// One queue, ordered by (time, sequence number); one root seed, split by component name, so that a
/// new draw in one place shifts no other. The same seed gives the same `trace`.

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "base/rng.hpp"
#include "base/sha256.hpp"
#include "base/time.hpp"

namespace tequio::simulation {

/// What happens when, in order.
class scheduler {
public:
    base::time_point now() const { return now_; }
    /// Runs `action` at `when` (now, if that has passed); of two at one time, the first asked for.
    void at(base::time_point when, std::function<void()> action);
    void after(base::duration delay, std::function<void()> action) {
        at(now_ + delay, std::move(action));
    }
    /// False when nothing is left.
    bool run_one();
    std::uint64_t events() const { return events_; }
    /// Actions that still wait for their time.
    std::size_t waiting() const { return queue_.size(); }

private:
    struct entry {
        base::time_point when;
        std::uint64_t sequence;
        std::function<void()> action;
        bool operator>(const entry& other) const {
            return when != other.when ? when > other.when : sequence > other.sequence;
        }
    };
    base::time_point now_{};
    std::uint64_t sequence_ = 0;
    std::uint64_t events_ = 0;
    std::priority_queue<entry, std::vector<entry>, std::greater<>> queue_;
};

/// Faults as data.
struct network_conditions {
    base::duration delay_min = std::chrono::milliseconds(1);
    base::duration delay_max = std::chrono::milliseconds(5);  ///< unequal delays reorder
    double loss = 0;
    double duplication = 0;
    base::duration late_max{};  ///< with probability `late`, this much more
    double late = 0;
    /// When a death is noticed by those whom no closed socket told; never, if there is no such time
    /// (they may go by silence).
    std::optional<base::duration> death_noticed{};
};

/// A node as the network sees it.
class sim_node {
public:
    virtual ~sim_node() = default;
    virtual void receive(std::size_t from, base::byte_view bytes) = 0;
    /// A connection to `other` came up or went down.
    virtual void peer_up(std::size_t other) = 0;
    virtual void peer_down(std::size_t other) = 0;
};

/// Carries bytes between living nodes, or loses them.
class virtual_network {
public:
    virtual_network(scheduler& time, std::size_t nodes, base::rng rng);
    /// One node more, with the next number; it lives once it is attached.
    void add_node();

    network_conditions conditions;
    /// How much longer the way from one node to another takes; none: no longer.
    std::function<base::duration(std::size_t from, std::size_t to)> way;
    /// Whether two nodes, the lower number first, hold a connection while both live; nothing: all
    /// do. Without one they may send all the same, as who opens one for it, but hear of neither
    /// life nor death of each other.
    std::function<bool(std::size_t, std::size_t)> linked;

    /// Called for every message delivered, before the receiver has it; for the trace.
    std::function<void(std::size_t from, std::size_t to, base::byte_view)> on_delivery;

    void attach(std::size_t index, sim_node* node);  ///< it lives: peers come up
    void detach(std::size_t index);                  ///< it died: peers notice
    void send(std::size_t from, std::size_t to, base::byte_vector bytes);
    /// Loses everything from one side to the other, one way.
    void cut(const std::set<std::size_t>& from, const std::set<std::size_t>& to);
    /// Undoes every cut; nodes that were apart hear of each other anew.
    void heal();
    std::uint64_t sent() const { return sent_; }
    std::uint64_t bytes_sent() const { return bytes_; }

private:
    bool connects(std::size_t a, std::size_t b) const {
        return !linked || linked(std::min(a, b), std::max(a, b));
    }
    void notice_death(std::size_t other, std::size_t dead);

    scheduler& time_;
    base::rng rng_;
    std::vector<sim_node*> nodes_;
    std::vector<std::uint64_t> lives_;  ///< a message to a former life is lost
    std::set<std::pair<std::size_t, std::size_t>> cuts_;
    std::uint64_t sent_ = 0;
    std::uint64_t bytes_ = 0;
};

/// A disk that forgets what was not synced when its node dies. Writes become durable in order.
class virtual_disk {
public:
    void put(std::string key, base::byte_vector value) {
        pending_.emplace_back(std::move(key), std::move(value));
    }
    void erase(std::string key) { pending_.emplace_back(std::move(key), std::nullopt); }
    /// Everything written so far is durable now.
    void sync();
    /// The node died: what was not synced is lost.
    void lose_unsynced() { pending_.clear(); }
    /// The durable value; writes become readable when they are durable.
    const base::byte_vector* get(const std::string& key) const;
    const std::map<std::string, base::byte_vector>& all() const { return durable_; }

private:
    std::map<std::string, base::byte_vector> durable_;
    std::vector<std::pair<std::string, std::optional<base::byte_vector>>> pending_;
};

/// A running digest of everything that happened.
class trace_digest {
public:
    void add(base::time_point when, std::string_view what, base::byte_view bytes = {});
    base::digest value() const { return value_; }

private:
    base::digest value_;
    base::byte_vector head_;  ///< kept for its memory
};

/// TEQUIO_SEED, or a fresh one from the system; printed with the command that repeats it.
std::uint64_t fresh_seed(std::string_view test);

/// Seeds of a file with one decimal number a line; `#` starts a comment.
std::vector<std::uint64_t> known_seeds(const std::string& file);

}  // namespace tequio::simulation
