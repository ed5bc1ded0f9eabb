#pragma once

/// A message between members of a team as it passes between processes of this machine: a short one
/// in the record itself, a long one as a sealed memory file that is handed on, never copied.

#include <memory>

#include "node/worker/shared_memory.hpp"
#include "training/team.hpp"

namespace tequio::node {

/// Longest message that rides in a record: a whole one is then below `worker_message_size_max`.
inline constexpr std::size_t team_inline_bytes_max = 64 * 1024;

/// Immutable; shared by whoever carries it.
class team_letter {
public:
    /// Errors: `base::errc::io_failure` when no memory file can be made; none for short ones.
    static base::result<std::shared_ptr<const team_letter>> make(const training::team_tag& tag,
                                                                 base::byte_view bytes);
    /// From a record, and the file that came with it if `size` is above `team_inline_bytes_max`.
    /// Errors: `base::errc::io_failure` for a file that is not sealed, or has another size.
    static base::result<std::shared_ptr<const team_letter>> received(const training::team_tag& tag,
                                                                     std::uint64_t size,
                                                                     base::byte_vector inlined,
                                                                     unique_fd file);

    const training::team_tag& tag() const { return tag_; }
    base::byte_view bytes() const { return file_ ? map_.bytes() : base::byte_view(inlined_); }
    /// The memory file's descriptor; -1 of a short one.
    int file() const { return file_.get(); }
    /// What stands in the record: all of a short one, nothing of a long one.
    const base::byte_vector& inlined() const { return inlined_; }

private:
    team_letter(const training::team_tag& tag, base::byte_vector inlined, unique_fd file,
                memory_map map);
    training::team_tag tag_;
    base::byte_vector inlined_;
    unique_fd file_;
    memory_map map_;
};

}  // namespace tequio::node
