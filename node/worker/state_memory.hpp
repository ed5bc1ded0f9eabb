#pragma once

/// The states of one job, in memory that outlives the worker: the parameters of the last rounds, so
/// that lanes of closed rounds can still be checked, and the optimizer's arrays of the newest. A
/// word says which is newest; a new state is written into the oldest buffer and the word is
/// switched last, so a worker killed at any instant loses nothing. Until then the optimizer's
/// arrays of the state before the newest are whole, so a round can be applied a second time.
///
/// Layout of the memory file, little-endian:
///
///     0     magic "TQSTATE3"
///     8     padded_size u64, floats
///     16    recipe id, 32 bytes
///     48    newest u32: 0 (none) or a slot, 1..kept
///     52    kept u32, 2..62
///     56    arrays of the optimizer u32, 1 or 2
///     64*s  line of slot s: round u64, digest 32 bytes, optimizer's buffer u64 (0, 1, or 2:
///     written
///           over since), checksum 8 bytes
///     4096  kept parameter arrays, then two buffers of the optimizer's arrays: padded_size floats
///           each, every array padded with zeros to whole pages of 4096 bytes
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

/// How large the states of a recipe are, and of how many rounds they are kept.
struct state_shape {
    std::uint64_t padded_size = 0;       ///< of the layout, in floats
    std::uint32_t kept = 2;              ///< rounds; state_memory::kept_min..kept_max
    std::uint32_t optimizer_arrays = 1;  ///< `training::optimizer_arrays`
};

/// The shape of the states of `r`; of one slice of them alone, if there are several.
state_shape state_shape_of(const training::recipe& r, std::uint32_t kept = 2,
                           std::uint64_t slice = 0, std::uint64_t slices = 1);

/// One job's state memory, mapped. One process writes at a time: the worker, or its starter while
/// there is no worker.
class state_memory {
public:
    /// Rounds kept when nothing is checked later: the held one and the next.
    static constexpr std::uint32_t kept_min = 2;
    static constexpr std::uint32_t kept_max = 62;
    /// Bytes of the memory file.
    static std::uint64_t size_bytes(const state_shape& shape);
    /// Makes a memory file that holds no state. Ensures kept_min <= kept <= kept_max. Errors:
    /// `base::errc::io_failure`.
    static base::result<state_memory> create(const base::recipe_id& recipe,
                                             const state_shape& shape);
    /// Maps one that exists, however many rounds it keeps (`shape.kept` is not looked at). Errors:
    /// `base::errc::io_failure` when it was made for another recipe or its length can still change.
    static base::result<state_memory> map(unique_fd fd, const base::recipe_id& recipe,
                                          const state_shape& shape);

    int fd() const { return fd_.get(); }
    std::uint32_t kept() const { return shape_.kept; }
    /// The newest state; nullopt when there is none, or when its line is damaged.
    std::optional<held_state> held() const;
    /// The state of `round`, newest or older; nullopt when it is not here.
    std::optional<held_state> find(base::round_index round) const;
    /// The newest arrays. Ensures that a state is held.
    training::state_view view() const;
    /// The arrays of `round`; the optimizer's are empty unless it is the newest. Ensures that
    /// `find` finds it.
    training::state_view view(base::round_index round) const;
    /// The oldest arrays: the next state is written there. Contents arbitrary; their old name is
    /// forgotten.
    training::state_span next();
    /// Makes the arrays of `next()` the held ones under this name. The switch is the last store.
    void commit(const held_state& name);
    /// Forgets the newest state and holds the one before it again. False, and nothing changes, when
    /// that one is not here with its optimizer's arrays: `next` has been called since the last
    /// `commit`, or only one state was ever held.
    bool step_back();
    /// As `memory_map::page_out`, of all states.
    void page_out() const { map_.page_out(); }
    /// As `memory_map::resident_bytes`, of all states.
    std::uint64_t resident_bytes() const { return map_.resident_bytes(); }
    /// Holds nothing from now on.
    void clear();

private:
    struct slot_name {
        held_state state;
        std::uint64_t buffer = 0;  ///< of the optimizer's arrays, 0 or 1; or `buffer_gone`
    };
    state_memory(unique_fd fd, memory_map map, const state_shape& shape);
    static base::byte_vector line_of(const slot_name& name);
    std::optional<slot_name> name_of(std::uint32_t slot) const;
    std::optional<std::uint32_t> slot_of(base::round_index round) const;
    std::span<float> array(std::uint64_t index) const;
    training::state_span arrays(std::uint32_t slot, std::uint64_t buffer) const;
    std::uint32_t held_slot() const;
    std::uint32_t next_slot() const { return held_slot() % shape_.kept + 1; }
    std::uint32_t previous_slot() const {
        return (held_slot() + shape_.kept - 2) % shape_.kept + 1;
    }
    void write_line(std::uint32_t slot, const slot_name& name);
    void hold(std::uint32_t slot);
    std::uint64_t next_buffer() const;

    unique_fd fd_;
    mutable memory_map map_;
    state_shape shape_;
};

}  // namespace tequio::node
