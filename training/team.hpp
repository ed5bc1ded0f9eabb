#pragma once

/// What the members of a team say to one another while they compute one lane, each a slice of it
/// (DESIGN.md section 7). Members are named by their slice's index; member 0 leads: it puts the
/// contribution, the loss and the trace together.
///
/// From one member to another messages keep their order, and each side knows from the recipe alone
/// which message comes next: its tag and its size. So whatever else comes is wrong, and whoever
/// sent it is to blame.

#include <cstdint>
#include <memory>
#include <optional>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace tequio::training {

struct recipe;

/// What a message holds; little-endian. Numbers are append-only.
enum class team_word : std::uint8_t {
    activations = 1,    ///< of micro-batch `part`, to the next member (numerics/cut_format.hpp)
    gradients = 2,      ///< by those, back
    rows = 3,           ///< last to first: rows of a tied embedding, float32
    row_gradients = 4,  ///< first to last
    sums = 5,     ///< to all: the loss (of the last; else 0), then sums of squares of its tensors,
                  ///< f64
    updated = 6,  ///< to all: u32, the first of its tensors that is not finite, or 2^32 - 1
    losses = 7,   ///< last to first, validation: each token's, float32
    leaves = 8,   ///< to the lead: leaf hashes of the trace's pieces that are its own alone
    piece = 9,    ///< to the lead: its values in piece `part` of the trace, which others share
    coded = 10,   ///< to the lead: saturated u64, flushed u64, first refused tensor u32
    blocks = 11,  ///< to the lead: scales, then codes, of its blocks from `part` on
};

/// Which message it is.
struct team_tag {
    std::uint64_t step = 0;  ///< of the lane, from 1; in a validation the batch, from 0
    team_word word = team_word::activations;
    std::uint64_t part = 0;  ///< see above; else 0
    auto operator<=>(const team_tag&) const = default;
};

inline constexpr std::size_t team_tag_bytes = 17;
/// A tag as step u64, word u8, part u64.
void write_tag(const team_tag& tag, base::byte_vector& out);
/// The tag that starts `bytes`; nothing when they are too few, or its word is unknown.
std::optional<team_tag> read_tag(base::byte_view bytes);

/// No message may be longer: 2^24 tokens of a step are cut into micro-batches for a reason.
inline constexpr std::uint64_t team_message_bytes_max = std::uint64_t{1} << 30;
/// Bytes of the longest message that a team can send over this recipe, however it is divided.
std::uint64_t longest_team_message(const recipe& r);

/// Messages from one member to another that were sent and not taken yet. Two, so that one travels
/// while the other is computed with; the schedule of a lane never needs more to go on.
inline constexpr std::uint64_t team_messages_max = 2;

/// A message that came. The bytes belong to `owner`.
struct team_message {
    std::shared_ptr<const void> owner;
    base::byte_view bytes;
};

/// One member's way to the others. Not thread-safe.
class team_link {
public:
    virtual ~team_link() = default;
    /// Sends a message; waits while `team_messages_max` of them are not taken. Errors:
    /// `errc::stopped`.
    virtual base::result<void> send(std::uint64_t to, const team_tag& tag,
                                    base::byte_vector bytes) = 0;
    /// The next message of that member, which has this tag and `size` bytes: any other is dropped,
    /// and its sender blamed. Waits. Errors: `errc::stopped`.
    virtual base::result<team_message> receive(std::uint64_t from, const team_tag& tag,
                                               std::uint64_t size) = 0;
    /// The last message of that member had the right tag and size, and yet cannot be meant.
    virtual void blame(std::uint64_t member) = 0;
};

}  // namespace tequio::training
