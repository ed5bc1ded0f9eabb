#pragma once

/// A data folder's store as files: what `tequio store` looks at, beside a running daemon or without
/// one. What of it may go is for node/core/retention.hpp to say.

#include <filesystem>
#include <vector>

#include "node/core/retention.hpp"

namespace tequio::node {

/// Every blob file of the store below `data_dir`, whole or arriving; none when there is no store.
std::vector<stored_blob> list_blob_files(const std::filesystem::path& data_dir);

/// The jobs that a data folder remembers. Who is at work there knows more: of a job whose end the
/// folder does not tell, the time of its end is not known, and it counts as open while nothing says
/// that it is over. Jobs whose note cannot be read are left out. Errors: `base::errc::io_failure`.
base::result<std::vector<stored_job>> read_stored_jobs(const std::filesystem::path& data_dir);

/// Forgets the jobs that `survey` found expired, then removes its spare blobs. Only for the holder
/// of the folder's lock. Errors: `base::errc::io_failure`; what was not done yet is found again.
base::result<void> prune_files(const std::filesystem::path& data_dir, const store_survey& survey,
                               const std::vector<stored_job>& jobs, base::unix_time now);

/// What there is room for.
struct store_space {
    std::uint64_t limit = 0;      ///< `limits.disk`
    double keep_free = 0;         ///< `limits.keep_free`, 0..1
    std::uint64_t capacity = 0;   ///< of the file system
    std::uint64_t available = 0;  ///< there
    std::uint64_t databases = 0;  ///< bytes of node.db and the ledger: never pruned
    /// How much may be added while `used` bytes of blobs are there.
    std::uint64_t room(std::uint64_t used) const;
};
/// Reads what the file system says. Never fails: what cannot be read is 0.
store_space space_of(const std::filesystem::path& data_dir, std::uint64_t limit, double keep_free);

}  // namespace tequio::node
