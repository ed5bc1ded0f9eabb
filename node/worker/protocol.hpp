#pragma once

/// Messages between the daemon and its worker, over one SOCK_SEQPACKET socket pair; file
/// descriptors ride along. The byte layout is in README.md. Both ends ship in one executable, so
/// there is one version, checked in `worker_ready`.
///
/// The daemon does not trust the worker (it reads data from strangers) and the other way round
/// costs nothing: every decoder is strict and capped, and refuses trailing bytes.

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/blob.hpp"
#include "base/ids.hpp"
#include "node/worker/team_letter.hpp"
#include "training/contribution.hpp"

namespace tequio::node {

inline constexpr std::uint32_t worker_protocol_version = 8;
/// No message is longer; below the default socket buffer, so that one always fits.
inline constexpr std::size_t worker_message_size_max = 128 * 1024;
inline constexpr std::size_t recipe_text_size_max = 64 * 1024;
inline constexpr std::size_t worker_sentence_size_max = 4096;
/// Inputs of one item: a sum of all lanes that a recipe may have.
inline constexpr std::uint32_t worker_inputs_max = 65536;

/// Groups of a crew, and so sums that one part is added up from (training/crew/groups.md).
inline constexpr std::uint32_t worker_sums_max = 64;

/// Blobs of a recipe: the data, and weights to start from.
inline constexpr std::uint32_t worker_blobs_max = 2;

/// Slices of a model: no more than it may have layers.
inline constexpr std::uint32_t worker_slices_max = 1024;
/// Digests of tensors that one message carries; a slice with more is refused.
inline constexpr std::size_t worker_tensors_max = 3584;

/// What the worker computes. A check is a lane (or a validation) computed again.
enum class compute_kind : std::uint8_t {
    prepare = 1,     ///< S(0) into the state memory
    lane = 2,        ///< one lane of the round whose state is held: a contribution, or diverged
    validation = 3,  ///< validation loss of the held state
    sum = 4,         ///< contributions of all lanes, in lane order -> the mean
    apply = 5,       ///< a mean onto the held state -> the next round's state
    sum_shard = 6,   ///< as `sum`, of a run of the mean's units -> the part
    join = 7,        ///< parts in the order of their units -> what `sum` gives
    load = 8,        ///< a stored state of `round` (training/full_state.hpp) -> held
    sum_lanes = 9,   ///< contributions of the lanes of `sums[0]` -> those sums (training/merge.hpp)
    add_sums = 10,   ///< such sums, which cover all lanes -> the part, as of `sum_shard`
};

/// Which kernels compute. Both give the same bits; `reference` is the definition, and slow.
enum class compute_engine : std::uint8_t { fast = 0, reference = 1 };

/// One piece of work. `round` is the round of the state it starts from, or loads; 0 for `prepare`.
struct compute_item {
    std::uint64_t id = 0;  ///< chosen by the daemon; never used twice for one worker
    compute_kind kind = compute_kind::prepare;
    compute_engine engine = compute_engine::fast;
    base::round_index round;
    base::lane_index lane;  ///< `lane` only, else 0
    /// `sum`, `sum_shard`: the lanes; `sum_lanes`: those of `sums[0]`; `add_sums`: as many as
    /// `sums`; `apply`, `load`: 1; `join`: any; else 0.
    std::uint32_t inputs = 0;
    std::uint64_t first_unit = 0;  ///< `sum_shard`, `add_sums`: the shard, else 0
    std::uint64_t units = 0;
    /// `lane`, `validation` of a slice: with the others of its team, by messages.
    bool team = false;
    /// `sum_lanes`: one, what is to be made; `add_sums`: of each input, at most worker_sums_max.
    std::vector<training::partial_sums> sums = {};
    bool operator==(const compute_item&) const = default;
};

/// A lane, or a validation, that met a number that is not finite.
struct compute_divergence {
    std::uint64_t step = 0;
    std::string tensor;
    auto operator<=>(const compute_divergence&) const = default;
};

/// What came out of an item; fields that its kind does not have are zero.
struct compute_outcome {
    base::digest state_after;  ///< `prepare`, `apply`; `load`: zero when the input is no state
    base::blob_ref blob;       ///< contribution, mean, part or sums. The bytes come beside it
    std::optional<compute_divergence> divergence;  ///< `lane`, `validation`
    double loss = 0;     ///< `lane`: its mean training loss; `sum`: over lanes; `validation`
    base::digest trace;  ///< `lane`
    base::digest sum;    ///< `sum`
    std::uint64_t saturated = 0;  ///< values of `blob`, as training::contribution_counts has them
    std::uint64_t flushed = 0;
    std::uint64_t at_top = 0;
    std::uint64_t computed_microseconds = 0;
    /// `prepare`, `apply` of a slice: its tensors (`training::tensor_digests`), of which
    /// `state_after` is then; at most worker_tensors_max.
    std::vector<base::digest> tensors = {};
    bool operator==(const compute_outcome&) const = default;
};

// From the daemon.

/// Descriptors: the state memory, then the recipe's blobs (read-only) in the order of
/// `training::recipe_blobs`. Replaces the job that was open.
struct worker_open_job {
    std::string recipe;       ///< canonical text
    std::uint32_t blobs = 1;  ///< 1..worker_blobs_max
    /// Of which the states are: slice `slice` of `slices`, 1..worker_slices_max.
    std::uint32_t slice = 0;
    std::uint32_t slices = 1;
    bool operator==(const worker_open_job&) const = default;
};
struct worker_begin {
    compute_item item;
    bool operator==(const worker_begin&) const = default;
};
/// Answers `worker_wants_input`. Descriptor: the blob, to be mapped read-only; none if `missing`.
struct worker_input {
    std::uint64_t item = 0;
    std::uint32_t index = 0;
    base::blob_ref blob;
    bool missing = false;
    bool operator==(const worker_input&) const = default;
};
/// Ends the item in hand at the next micro-batch, or at once when the worker is parked; ignored if
/// it is over.
struct worker_stop {
    std::uint64_t item = 0;
    bool operator==(const worker_stop&) const = default;
};
struct worker_close_job {
    bool operator==(const worker_close_job&) const = default;
};
/// The owner needs the machine for longer: what the job holds in memory is to go out to swap, and
/// mapped files out of memory (MADV_PAGEOUT). Nothing is lost; what comes back comes back slowly.
struct worker_hand_back_memory {
    bool operator==(const worker_hand_back_memory&) const = default;
};
/// A message that member `from` of the team sent. Descriptor: the sealed memory file, if `size` is
/// above team_inline_bytes_max.
struct worker_team_in {
    std::uint64_t item = 0;
    std::uint32_t from = 0;
    training::team_tag tag;
    std::uint64_t size = 0;     ///< at most training::team_message_bytes_max
    base::byte_vector inlined;  ///< a short one
    bool operator==(const worker_team_in&) const = default;
};
/// Member `by` has taken the oldest message that was sent to it: another may be sent.
struct worker_team_credit {
    std::uint64_t item = 0;
    std::uint32_t by = 0;
    bool operator==(const worker_team_credit&) const = default;
};
using worker_command =
    std::variant<worker_open_job, worker_begin, worker_input, worker_stop, worker_close_job,
                 worker_hand_back_memory, worker_team_in, worker_team_credit>;

// From the worker.

/// First message, sent from inside the finished sandbox.
struct worker_ready {
    std::uint32_t version = worker_protocol_version;
    std::uint32_t threads = 0;
    std::string cpu_protection;  ///< as `cpu_protection_name` writes it
    std::string simd;            ///< kernels in use: "avx2", "avx512", "neon", "reference"
    std::string sandbox;         ///< "seccomp", or why it is less
    bool operator==(const worker_ready&) const = default;
};
/// The job is open. `state` says what the state memory holds, verified against its digest.
struct worker_job_opened {
    std::uint64_t memory_bytes = 0;
    bool has_state = false;
    base::round_index round;
    base::digest state;
    bool operator==(const worker_job_opened&) const = default;
};
struct worker_job_refused {
    std::string reason;
    bool operator==(const worker_job_refused&) const = default;
};
struct worker_wants_input {
    std::uint64_t item = 0;
    std::uint32_t index = 0;
    bool operator==(const worker_wants_input&) const = default;
};
/// At most five a second.
struct worker_progress {
    std::uint64_t item = 0;
    std::uint64_t steps = 0;   ///< finished inner steps
    std::uint64_t tokens = 0;  ///< in those
    bool operator==(const worker_progress&) const = default;
};
/// Descriptor if `outcome.blob.size` > 0: a memory file of that size, sealed against all change.
struct worker_item_done {
    std::uint64_t item = 0;
    compute_outcome outcome;
    bool operator==(const worker_item_done&) const = default;
};
struct worker_item_failed {
    std::uint64_t item = 0;
    bool stopped = false;  ///< because it was asked to
    std::string reason;
    bool operator==(const worker_item_failed&) const = default;
};
/// A message for member `to`. Descriptor as of `worker_team_in`.
struct worker_team_out {
    std::uint64_t item = 0;
    std::uint32_t to = 0;
    training::team_tag tag;
    std::uint64_t size = 0;
    base::byte_vector inlined;
    bool operator==(const worker_team_out&) const = default;
};
/// The oldest message of member `from` was taken.
struct worker_team_taken {
    std::uint64_t item = 0;
    std::uint32_t from = 0;
    bool operator==(const worker_team_taken&) const = default;
};
/// Nothing can be computed before that member says something, or takes something.
struct worker_team_waits {
    std::uint64_t item = 0;
    std::uint32_t member = 0;
    bool operator==(const worker_team_waits&) const = default;
};
/// That member sent what was not due, or what no slice can have computed.
struct worker_team_blames {
    std::uint64_t item = 0;
    std::uint32_t member = 0;
    bool operator==(const worker_team_blames&) const = default;
};
using worker_report =
    std::variant<worker_ready, worker_job_opened, worker_job_refused, worker_wants_input,
                 worker_progress, worker_item_done, worker_item_failed, worker_team_out,
                 worker_team_taken, worker_team_waits, worker_team_blames>;

/// One message as bytes. Ensures that strings keep their caps (reasons are cut to theirs).
base::byte_vector encode(const worker_command& message);
base::byte_vector encode(const worker_report& message);

/// Errors: `base::errc::bad_encoding`, `errc::too_large`. Safe on any input.
base::result<worker_command> decode_command(base::byte_view bytes);
base::result<worker_report> decode_report(base::byte_view bytes);

/// How many descriptors belong to a message.
std::size_t descriptors_of(const worker_command& message);
std::size_t descriptors_of(const worker_report& message);

}  // namespace tequio::node
