#pragma once

/// Bulk transfers by size alone: each node has an uplink and a downlink, shared fairly among what
/// runs over them (max-min fairness: no transfer could be faster without a slower one becoming
/// slower still; Bertsekas and Gallager, Data Networks, 1992, section 6.5.2).

#include <array>
#include <functional>
#include <vector>

#include "tests/support/simulator.hpp"

namespace tequio::simulation {

inline double seconds_of(base::duration d) {
    return std::chrono::duration<double>(d).count();
}

/// What a node's connection carries, in bytes a second.
struct link_rates {
    double up = 0;
    double down = 0;
};

/// One of whom a transfer may take its bytes.
struct link_holder {
    std::size_t node = 0;
    bool own = true;  ///< not a copy of another's: where uplinks give turns it goes first
    bool operator==(const link_holder&) const = default;
};

/// Transfers between numbered nodes on virtual time.
class shared_links {
public:
    using transfer_id = std::uint64_t;
    /// From how many nodes one transfer takes its bytes at a time.
    static constexpr std::size_t sources_max = 8;

    explicit shared_links(scheduler& time) : time_(time) {}

    /// The next node's connection; rates above 0.
    void add_node(link_rates rates);
    /// Another connection from now on.
    void set_rates(std::size_t node, link_rates rates);
    /// Moves `bytes` to `to` from any of `holders` (not empty, not `to`); `done(0)` when they
    /// are there, `done(bytes still to bring)` when no holder is left.
    transfer_id start(std::size_t to, double bytes, std::vector<link_holder> holders,
                      std::function<void(double)> done);
    /// Other holders from now on; a transfer that has ended is left alone.
    void set_holders(transfer_id id, std::vector<link_holder> holders);
    /// Ends a transfer without a word and returns how many bytes it had still to bring.
    double stop(transfer_id id);
    /// A node is gone: what it fetched ends without a word, what it gave comes from others.
    void leave(std::size_t node);

    /// Bytes so far.
    double sent(std::size_t node) const { return nodes_[node].sent; }
    double received(std::size_t node) const { return nodes_[node].received; }
    /// Transfers to a node that are under way.
    std::size_t downloads(std::size_t node) const { return nodes_[node].downloads; }
    /// Called when a node's downloads begin or end.
    std::function<void(std::size_t node)> on_downloads;
    /// So many transfers an uplink serves at a time: what is its node's own first, else in the
    /// order in which they began. 0: all.
    std::size_t turns = 0;
    /// Brings the counters up to now.
    void settle();
    /// Of very many transfers each sharing out takes long, and changes little: rates then stand for
    /// so long for each stream, and what ends or begins meanwhile waits. 0: for no time.
    base::duration stand_for_each{};

private:
    struct node_links {
        link_rates rates;
        double sent = 0, received = 0;
        std::size_t downloads = 0;
        std::size_t uploads = 0;  ///< transfers that it is a source of
    };
    struct source {
        std::size_t from = 0;
        bool own = true;
        double rate = 0;
    };
    struct transfer {
        transfer_id id = 0;
        std::size_t to = 0;
        double left = 0;
        std::size_t source_count = 0;
        std::array<source, sources_max> sources;  ///< so many of them
        std::vector<link_holder> holders;
        std::function<void(double)> done;
        bool choose = true;  ///< its holders changed
        bool over = false;   ///< it has ended, and goes with the next change
    };
    /// One direction of a node's connection, while it is shared out.
    struct link {
        double left = 0;
        std::size_t open = 0;  ///< of its streams those without a rate
        std::vector<std::uint32_t> streams;
    };
    struct stream {
        source* of = nullptr;
        std::uint32_t up = 0, down = 0;
        bool settled = false;
    };
    void settle(transfer& t, double passed);
    void settle_if_exact();
    void change_later();
    void change();
    void choose_sources(transfer& t);
    void clear_sources(transfer& t);
    void open_streams(std::vector<std::size_t>& used);
    void share();
    void forget(transfer& t);
    transfer* find(transfer_id id);

    scheduler& time_;
    std::vector<node_links> nodes_;
    /// By id; `ended_` of them are over. Every change looks at all, so they lie side by side.
    std::vector<transfer> transfers_;
    std::size_t ended_ = 0;
    std::vector<link> links_;  ///< uplinks at even numbers, downlinks at odd ones; kept for memory
    std::vector<stream> streams_;  ///< likewise
    transfer_id next_ = 1;
    base::time_point settled_{};
    bool change_due_ = false;
    base::time_point stands_until_{};  ///< no sharing out before
    std::uint64_t wake_ = 0;           ///< numbers the next end; older ones are void
};

}  // namespace tequio::simulation
