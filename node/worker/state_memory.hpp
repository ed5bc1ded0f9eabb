#pragma once

/// The states of one job, in memory that outlives the worker: the parameters of the last rounds, so
/// that lanes of closed rounds can still be checked, and the momentum of the newest. A word says
/// which is newest; a new state is written into the oldest buffer and the word is switched last, so
/// a worker killed at any instant loses nothing.
///
/// Layout of the memory file, little-endian:
///
///     0     magic "TQSTATE2"          48   newest u32: 0 (none) or a slot, 1..kept
///     8     padded_size u64, floats   52   kept u32, 2..62
///     16    recipe id, 32 bytes       64*s line of slot s: round u64, digest 32, momentum buffer
///     u64, checksum 8 4096  kept parameter arrays, then two of momentum: padded_size floats each,
///     every array padded with zeros to
///           whole pages of 4096 bytes
///
/// The checksum (first 8 bytes of SHA-256 over the line before it) catches a stray write to a
/// slot's line; the newest arrays are compared with their digest when a worker opens the job.

#include <optional>

#include "base/ids.hpp"
#include "node/worker/shared_memory.hpp"
#include "training/state.hpp"

namespace tequio::node {

/// A round's state by name.
struct held_state {
    base::round_index round;
    base::digest digest;
    auto operator<=>(const held_state&) const = default;
};

/// One job's state memory, mapped. One process writes at a time: the worker, or its starter while
/// there is no worker.
class state_memory {
public:
    /// Rounds kept when nothing is checked later: the held one and the next.
    static constexpr std::uint32_t kept_min = 2;
    static constexpr std::uint32_t kept_max = 62;
    /// Bytes of the memory file for a layout of `padded_size` floats and `kept` rounds.
    static std::uint64_t size_bytes(std::uint64_t padded_size, std::uint32_t kept = kept_min);
    /// Makes a memory file that holds no state. Ensures kept_min <= kept <= kept_max. Errors:
    /// `base::errc::io_failure`.
    static base::result<state_memory> create(const base::recipe_id& recipe,
                                             std::uint64_t padded_size,
                                             std::uint32_t kept = kept_min);
    /// Maps one that exists. Errors: `base::errc::io_failure` when it was made for another recipe
    /// or its length can still change.
    static base::result<state_memory> map(unique_fd fd, const base::recipe_id& recipe,
                                          std::uint64_t padded_size);

    int fd() const { return fd_.get(); }
    std::uint32_t kept() const { return kept_; }
    /// The newest state; nullopt when there is none, or when its line is damaged.
    std::optional<held_state> held() const;
    /// The state of `round`, newest or older; nullopt when it is not here.
    std::optional<held_state> find(base::round_index round) const;
    /// The newest arrays. Ensures that a state is held.
    training::state_view view() const;
    /// The arrays of `round`; momentum is empty unless it is the newest. Ensures that `find` finds
    /// it.
    training::state_view view(base::round_index round) const;
    /// The oldest arrays: the next state is written there. Contents arbitrary; their old name is
    /// forgotten.
    training::state_span next();
    /// Makes the arrays of `next()` the held ones under this name. The switch is the last store.
    void commit(const held_state& name);
    /// As `memory_map::page_out`, of all states.
    void page_out() const { map_.page_out(); }
    /// As `memory_map::resident_bytes`, of all states.
    std::uint64_t resident_bytes() const { return map_.resident_bytes(); }
    /// Holds nothing from now on.
    void clear();

private:
    struct slot_name {
        held_state state;
        std::uint64_t momentum = 0;  ///< buffer, 0 or 1
    };
    state_memory(unique_fd fd, memory_map map, std::uint64_t padded_size, std::uint32_t kept);
    static base::byte_vector line_of(const slot_name& name);
    std::optional<slot_name> name_of(std::uint32_t slot) const;
    std::optional<std::uint32_t> slot_of(base::round_index round) const;
    std::span<float> array(std::uint64_t index) const;
    std::uint32_t held_slot() const;
    std::uint32_t next_slot() const { return held_slot() % kept_ + 1; }
    std::uint64_t next_momentum() const;

    unique_fd fd_;
    mutable memory_map map_;
    std::uint64_t padded_size_ = 0;
    std::uint32_t kept_ = kept_min;
};

}  // namespace tequio::node
