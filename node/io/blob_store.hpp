#pragma once

/// Blobs as files: `blobs/ab/<root>-<size>` when whole, with a `.part` ending while only some of
/// its pieces are here, which may be for good. Behind the blob's bytes a `.part` file keeps the
/// 32-byte leaf hash of every piece that is here, and zeros for the others: after a loss of power
/// pieces that do not hash to theirs count as missing. Behind those, each piece's Merkle path as it
/// came, so that it can be served to others before the blob is whole. Used from the storage thread;
/// `has` and `used_bytes` answer from memory, `open_pieces` works from any thread.

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "base/blob.hpp"
#include "node/io/files.hpp"

namespace tequio::node {

/// What may be added: blobs of `limit_bytes` in sum, and none that would leave less than the share
/// `keep_free` (0..1) of the file system free.
struct disk_bounds {
    std::uint64_t limit_bytes = 0;
    double keep_free = 0;
};

/// The blob whose file has this name ("<root>-<size>"). Errors: `base::errc::bad_encoding`.
base::result<base::blob_ref> blob_ref_of_file(std::string name);

class blob_store {
public:
    /// Opens or makes the folder and lists what is there. What does not fit into `bounds` is
    /// refused with `errc::too_large`.
    static base::result<std::unique_ptr<blob_store>> open(std::filesystem::path folder,
                                                          const disk_bounds& bounds);
    /// Other bounds from now on; nothing is removed for them.
    void set_bounds(const disk_bounds& bounds) { bounds_ = bounds; }

    bool has(const base::blob_ref& ref) const { return whole_.contains(ref); }
    /// Some of it has come, or room for it is set aside.
    bool is_arriving(const base::blob_ref& ref) const { return arriving_.contains(ref); }
    /// Of blobs that are whole or arriving.
    std::uint64_t used_bytes() const { return used_; }
    std::vector<base::blob_ref> list() const { return {whole_.begin(), whole_.end()}; }

    /// Whether so many bytes may be added now. Errors: `base::errc::too_large`, with the limit,
    /// what is used and what is asked for.
    base::result<void> room_for(std::uint64_t bytes) const;
    /// Stores whole bytes, durably; nothing happens when they are there.
    base::result<base::blob_ref> put(base::byte_view bytes);
    /// Where a file of so many bytes is made that `put_file` will store: of that name, in a folder
    /// that is emptied when a store is opened. Errors: as `room_for`, before the file is begun.
    base::result<std::filesystem::path> making(const std::string& name, std::uint64_t bytes) const;
    /// Stores a file that was made there and has been synced; it has another place then. Cost: one
    /// pass over it, mapped.
    base::result<base::blob_ref> put_file(const std::filesystem::path& file);
    /// Stores one verified piece; true when the blob is whole now. A piece that does not verify is
    /// an error.
    base::result<bool> put_piece(const base::blob_ref& ref, const base::blob_piece& piece);
    /// Which pieces of a blob that is still arriving are here, so that a transfer resumes where it
    /// stopped.
    base::result<std::vector<bool>> pieces_present(const base::blob_ref& ref);
    /// Every piece of the run is here.
    bool has_pieces(const base::blob_ref& ref, const base::piece_run& run);

    /// Errors: `errc::io_failure` when the blob, or this piece of it, is not here.
    base::result<base::blob_piece> read_piece(const base::blob_ref& ref, std::uint64_t index);
    base::result<mapped_file> map(const base::blob_ref& ref) const;
    base::result<unique_fd> open_file(const base::blob_ref& ref) const;
    /// The same of a blob of which perhaps only some pieces are here, at their places in its bytes.
    base::result<unique_fd> open_pieces(const base::blob_ref& ref) const;
    /// Forgets a blob, whole or arriving.
    base::result<void> remove(const base::blob_ref& ref);

private:
    struct arriving {
        std::vector<bool> present;
        std::uint64_t missing = 0;
    };
    blob_store(std::filesystem::path folder, const disk_bounds& bounds)
        : folder_(std::move(folder)), bounds_(bounds) {}
    std::filesystem::path path_of(const base::blob_ref& ref) const;
    std::filesystem::path part_of(const base::blob_ref& ref) const;
    base::result<arriving*> arriving_blob(const base::blob_ref& ref);
    base::result<arriving> read_arriving(const base::blob_ref& ref) const;
    base::result<base::blob_piece> read_arrived_piece(const base::blob_ref& ref,
                                                      std::uint64_t index);
    base::result<unique_fd> open_part(const base::blob_ref& ref) const;
    base::result<const std::vector<base::digest>*> leaves_of(const base::blob_ref& ref);

    std::filesystem::path folder_;
    disk_bounds bounds_;
    std::uint64_t used_ = 0;
    std::set<base::blob_ref> whole_;
    std::map<base::blob_ref, arriving> arriving_;
    std::map<base::blob_ref, std::vector<base::digest>>
        leaves_;  ///< bounded; dropped oldest id first
};

}  // namespace tequio::node
