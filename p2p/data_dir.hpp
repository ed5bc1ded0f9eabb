#pragma once

/// What p2p keeps in a node's data directory, and the lock that gives it one owner. All of this
/// touches the disk; nothing here belongs in a core.
///
///     lock              held with flock(2) while a daemon runs; holds its process id as text
///     identity.key      the root key (0600)
///     swarm/<id>.note   founding note (0600), followed by the secret in a file of its own:
///     swarm/<id>.secret 0600
///     swarm/<id>.seeds  0600; addresses, a line each; only where an invite brought some
///
/// A key file is text, so that people can back it up:
///
///     tequio-key 1 identity            or "submitter"
///     seed <64 hex digits>
///     public <64 hex digits>           must fit the seed: catches truncation and typing mistakes

#include <filesystem>
#include <memory>
#include <vector>

#include "p2p/identity.hpp"
#include "p2p/swarm.hpp"

namespace tequio::p2p {

/// Reads a key file of `kind` ("identity", "submitter"). Errors: `errc::not_found`;
/// `errc::key_file_exposed`, with what to type; `errc::bad_key_file`. Never writes.
base::result<base::signing_key> load_key_file(const std::filesystem::path& file,
                                              std::string_view kind);

/// Writes `key` to a new file: mode 0600, written whole and synced under another name, then linked
/// into place. An existing file is never overwritten. Errors: `errc::bad_key_file` when there is
/// one; `errc::io_failure`.
base::result<void> create_key_file(const std::filesystem::path& file, std::string_view kind,
                                   const base::signing_key& key);

/// Reads the key file, or makes a fresh key when there is no file; folders above it are made with
/// mode 0700. Errors: as the two above.
base::result<base::signing_key> load_or_create_key_file(const std::filesystem::path& file,
                                                        std::string_view kind);

/// The text of a key file, for `id export`; `parse_key_text` reads it for `id import`.
std::string key_text(std::string_view kind, const base::signing_key& key);
/// Errors: `errc::bad_key_file`.
base::result<base::signing_key> parse_key_text(std::string_view text, std::string_view kind);

/// `identity.key` in `data_dir`.
std::filesystem::path identity_file(const std::filesystem::path& data_dir);
/// Errors: as `load_or_create_key_file`.
base::result<identity> load_or_create_identity(const std::filesystem::path& data_dir);
/// Errors: as `load_key_file`.
base::result<identity> load_identity(const std::filesystem::path& data_dir);

/// 32 bytes from the system's random source. Not for cores.
base::digest fresh_entropy();

/// Holds a data directory for this process until destroyed. The kernel lets go of it when the
/// process dies, however it dies.
class data_dir_lock {
public:
    /// Makes the directory (0700) when missing. Errors: `errc::data_dir_locked`, naming the
    /// holder's process id and the directory; `errc::io_failure`.
    static base::result<data_dir_lock> acquire(const std::filesystem::path& data_dir);

    data_dir_lock(data_dir_lock&& other) noexcept;
    data_dir_lock& operator=(data_dir_lock&& other) noexcept;
    ~data_dir_lock();

private:
    explicit data_dir_lock(int descriptor) : descriptor_(descriptor) {}
    int descriptor_ = -1;
};

/// Stores a membership; storing the same one again changes nothing but its seeds, of which those
/// given replace the stored ones. Errors: `errc::io_failure`.
base::result<void> store_membership(const std::filesystem::path& data_dir, const membership& swarm);
/// All memberships, by id. Errors: `errc::io_failure`, `errc::bad_swarm_note`,
/// `errc::key_file_exposed`, each naming the file.
base::result<std::vector<membership>> load_memberships(const std::filesystem::path& data_dir);
/// Forgets a swarm. Errors: `errc::not_found`, `errc::io_failure`.
base::result<void> remove_membership(const std::filesystem::path& data_dir,
                                     const base::swarm_id& id);

}  // namespace tequio::p2p
