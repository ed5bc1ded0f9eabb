#pragma once

/// The state of one job, in memory that outlives the worker: two buffers of parameters and
/// momentum, and a word that says which one holds. A new state is written into the other buffer and
/// the word is switched last, so a worker killed at any instant loses nothing.
///
/// Layout of the memory file, little-endian:
///
///     0     magic "TQSTATE1"          64   slot 1: round u64, digest 32, checksum 8
///     8     padded_size u64, floats   128  slot 2: likewise
///     16    recipe id, 32 bytes       4096 slot 1 parameters, slot 1 momentum, slot 2 parameters,
///     48    held u32: 0, 1 or 2            slot 2 momentum: padded_size floats each, every array
///                                          padded with zeros to whole pages of 4096 bytes
///
/// The checksum (first 8 bytes of SHA-256 over round and digest) catches a stray write to a slot's
/// line; the arrays are compared with their digest when a worker opens the job.

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
    /// Bytes of the memory file for a layout of `padded_size` floats.
    static std::uint64_t size_bytes(std::uint64_t padded_size);
    /// Makes a memory file that holds no state. Errors: `base::errc::io_failure`.
    static base::result<state_memory> create(const base::recipe_id& recipe,
                                             std::uint64_t padded_size);
    /// Maps one that exists. Errors: `base::errc::io_failure` when it was made for another recipe
    /// or its length can still change.
    static base::result<state_memory> map(unique_fd fd, const base::recipe_id& recipe,
                                          std::uint64_t padded_size);

    int fd() const { return fd_.get(); }
    /// What is held; nullopt when nothing is, or when the slot's line is damaged.
    std::optional<held_state> held() const;
    /// The held arrays. Ensures that a state is held.
    training::state_view view() const;
    /// The arrays that are not held: the next state is written there. Contents arbitrary.
    training::state_span next();
    /// Makes the arrays of `next()` the held ones under this name. The switch is the last store.
    void commit(const held_state& name);
    /// Holds nothing from now on.
    void clear();

private:
    state_memory(unique_fd fd, memory_map map, std::uint64_t padded_size);
    training::state_span arrays(unsigned slot) const;
    std::uint32_t held_slot() const;

    unique_fd fd_;
    mutable memory_map map_;
    std::uint64_t padded_size_ = 0;
};

}  // namespace tequio::node
