#include "node/io/blob_store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "base/ensure.hpp"
#include "base/text.hpp"

namespace tequio::node {
namespace {

constexpr std::size_t leaf_lists_max = 256;  // guess: a crew's open contributions, twice over
constexpr std::uint64_t leaf_bytes = sizeof(base::digest);
constexpr const char* making_name = "making";

/// Where a `.part` file keeps what belongs to its pieces.
struct part_layout {
    explicit part_layout(const base::blob_ref& of)
        // RFC 6962: the longest path of a tree of so many leaves.
        : ref(of), depth(static_cast<std::uint64_t>(std::bit_width(of.pieces() - 1))) {}
    std::uint64_t leaf(std::uint64_t piece) const { return ref.size + piece * leaf_bytes; }
    std::uint64_t path(std::uint64_t piece) const {
        return leaf(ref.pieces()) + piece * depth * leaf_bytes;
    }
    std::uint64_t length() const { return path(ref.pieces()); }

    base::blob_ref ref;
    std::uint64_t depth;
};

/// The digests at `offset`, until one is zero or there are `count`.
std::vector<base::digest> digests_at(base::byte_view bytes, std::uint64_t offset,
                                     std::uint64_t count) {
    std::vector<base::digest> out;
    for (std::uint64_t i = 0; i < count; ++i) {
        base::digest d;
        const auto kept = bytes.subspan(offset + i * leaf_bytes, leaf_bytes);
        std::copy(kept.begin(), kept.end(), d.bytes.begin());
        if (d.is_zero()) break;
        out.push_back(d);
    }
    return out;
}

}  // namespace

base::result<base::blob_ref> blob_ref_of_file(std::string name) {
    const auto dash = name.find('-');
    if (dash == std::string::npos) return base::fail(base::errc::bad_encoding, name);
    name[dash] = ':';
    return base::parse_blob_ref(name);
}

base::result<std::unique_ptr<blob_store>> blob_store::open(std::filesystem::path folder,
                                                           const disk_bounds& bounds) {
    TEQUIO_CHECK(make_private_folder(folder));
    std::unique_ptr<blob_store> store(new blob_store(std::move(folder), bounds));
    std::error_code ec;
    std::filesystem::remove_all(store->folder_ / making_name, ec);
    if (ec) {
        return base::fail(base::errc::io_failure,
                          (store->folder_ / making_name).string() + ": " + ec.message());
    }
    for (const auto& group : std::filesystem::directory_iterator(store->folder_, ec)) {
        for (const auto& file : std::filesystem::directory_iterator(group.path(), ec)) {
            const auto name = file.path().filename().string();
            const auto ref = blob_ref_of_file(name);
            if (ref && name.find('.') == std::string::npos) {
                store->whole_.insert(*ref);
                store->used_ += ref->size;
            }
        }
    }
    if (ec) {
        return base::fail(base::errc::io_failure, store->folder_.string() + ": " + ec.message());
    }
    return store;
}

std::filesystem::path blob_store::path_of(const base::blob_ref& ref) const {
    const auto hex = ref.root.hex();
    return folder_ / hex.substr(0, 2) / (hex + "-" + std::to_string(ref.size));
}

std::filesystem::path blob_store::part_of(const base::blob_ref& ref) const {
    auto path = path_of(ref);
    path += ".part";
    return path;
}

base::result<void> blob_store::room_for(std::uint64_t bytes) const {
    const auto limit = bounds_.limit_bytes;
    if (bytes > limit || used_ > limit - bytes) {
        return base::fail(base::errc::too_large,
                          "limits.disk is " + base::human_size(limit) + ", " +
                              base::human_size(used_) + " are used and " + base::human_size(bytes) +
                              " more are asked for; raise limits.disk or run `tequio store prune`");
    }
    // Others fill the file system too, so it is asked each time.
    std::error_code ec;
    const auto space = std::filesystem::space(folder_, ec);
    const auto keep =
        static_cast<std::uint64_t>(bounds_.keep_free * static_cast<double>(space.capacity));
    if (!ec && bounds_.keep_free > 0 &&
        (bytes > space.available || space.available - bytes < keep)) {
        return base::fail(base::errc::too_large,
                          "limits.keep_free is " + base::shortest(bounds_.keep_free * 100) +
                              " % of " + base::human_size(space.capacity) + ", " +
                              base::human_size(space.available) + " are free and " +
                              base::human_size(bytes) +
                              " more are asked for; lower limits.keep_free or make room");
    }
    return {};
}

base::result<base::blob_ref> blob_store::put(base::byte_view bytes) {
    auto leaves = base::blob_leaves(bytes);
    const auto ref = base::blob_ref_of(leaves, bytes.size());
    if (has(ref)) return ref;
    // What was on its way has been made here meanwhile.
    if (arriving_.contains(ref)) TEQUIO_CHECK(remove(ref));
    TEQUIO_CHECK(room_for(ref.size));
    const auto path = path_of(ref);
    TEQUIO_CHECK(make_private_folder(path.parent_path()));
    TEQUIO_CHECK(write_file(path, bytes, 0600));
    whole_.insert(ref);
    used_ += ref.size;
    return ref;
}

base::result<std::filesystem::path> blob_store::making(const std::string& name,
                                                       std::uint64_t bytes) const {
    const auto folder = folder_ / making_name;
    TEQUIO_CHECK(make_private_folder(folder));
    std::error_code ec;
    if (!std::filesystem::exists(folder / name, ec)) TEQUIO_CHECK(room_for(bytes));
    return folder / name;
}

base::result<base::blob_ref> blob_store::put_file(const std::filesystem::path& file) {
    TEQUIO_TRY(const auto bytes, mapped_file::open(file));
    const auto ref = base::blob_ref_of(bytes.bytes());
    std::error_code ec;
    if (has(ref)) {
        std::filesystem::remove(file, ec);
        return ref;
    }
    if (arriving_.contains(ref)) TEQUIO_CHECK(remove(ref));
    TEQUIO_CHECK(room_for(ref.size));
    const auto path = path_of(ref);
    TEQUIO_CHECK(make_private_folder(path.parent_path()));
    if (::rename(file.c_str(), path.c_str()) != 0) return io_error(path, "rename to", errno);
    TEQUIO_CHECK(sync_folder(path.parent_path()));
    whole_.insert(ref);
    used_ += ref.size;
    return ref;
}

base::result<unique_fd> blob_store::open_part(const base::blob_ref& ref) const {
    const auto path = part_of(ref);
    unique_fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!file) return io_error(path, "create", errno);
    return file;
}

/// What a file says that an earlier run of this program left, or a fresh one.
base::result<blob_store::arriving> blob_store::read_arriving(const base::blob_ref& ref) const {
    const auto path = part_of(ref);
    const auto pieces = ref.pieces();
    const part_layout layout(ref);
    const auto length = layout.length();
    TEQUIO_TRY(const auto file, open_part(ref));
    struct stat info {};
    if (::fstat(file.get(), &info) != 0) return io_error(path, "look at", errno);
    arriving out;
    out.present.assign(pieces, false);
    out.missing = pieces;
    if (static_cast<std::uint64_t>(info.st_size) != length) {
        if (::ftruncate(file.get(), 0) != 0 ||
            ::ftruncate(file.get(), static_cast<off_t>(length)) != 0) {
            return io_error(path, "reserve space for", errno);
        }
        return out;
    }
    TEQUIO_TRY(const auto bytes, mapped_file::open(path));
    for (std::uint64_t i = 0; i < pieces; ++i) {
        const auto leaf = digests_at(bytes.bytes(), layout.leaf(i), 1);
        if (leaf.empty()) continue;
        const auto piece = bytes.bytes().subspan(i * base::piece_size_bytes, ref.piece_size(i));
        if (base::merkle_leaf(piece) != leaf.front()) continue;
        out.present[i] = true;
        --out.missing;
    }
    return out;
}

base::result<blob_store::arriving*> blob_store::arriving_blob(const base::blob_ref& ref) {
    if (const auto it = arriving_.find(ref); it != arriving_.end()) return &it->second;
    TEQUIO_CHECK(room_for(ref.size));
    TEQUIO_CHECK(make_private_folder(part_of(ref).parent_path()));
    TEQUIO_TRY(auto found, read_arriving(ref));
    used_ += ref.size;  // promised from now on: two that arrive at a time may not both count on it
    return &arriving_.emplace(ref, std::move(found)).first->second;
}

base::result<bool> blob_store::put_piece(const base::blob_ref& ref, const base::blob_piece& piece) {
    if (has(ref)) return true;
    if (!base::piece_verifies(ref, piece)) {
        return base::fail(base::errc::bad_encoding, "piece " + std::to_string(piece.index) +
                                                        " does not belong to blob " + ref.text());
    }
    TEQUIO_TRY(auto* const blob, arriving_blob(ref));
    const auto part = part_of(ref);
    // Opened for each piece: a job has many blobs of which only some pieces ever come.
    TEQUIO_TRY(const auto file, open_part(ref));
    if (!blob->present[piece.index]) {
        const part_layout layout(ref);
        const auto leaf = base::merkle_leaf(piece.bytes);
        base::byte_vector path;
        for (const auto& d : piece.path) path.insert(path.end(), d.bytes.begin(), d.bytes.end());
        TEQUIO_CHECK(write_at(file.get(), piece.bytes, piece.index * base::piece_size_bytes, part));
        TEQUIO_CHECK(write_at(file.get(), path, layout.path(piece.index), part));
        TEQUIO_CHECK(write_at(file.get(), leaf.view(), layout.leaf(piece.index), part));
        blob->present[piece.index] = true;
        --blob->missing;
    }
    if (blob->missing != 0) return false;
    if (::ftruncate(file.get(), static_cast<off_t>(ref.size)) != 0 || ::fsync(file.get()) != 0) {
        return io_error(part, "finish", errno);
    }
    // Bytes and leaves reach the disk in any order when the power goes, and what is here may be
    // from before: the whole is checked once.
    {
        TEQUIO_TRY(const auto whole, mapped_file::open(part));
        if (base::blob_ref_of(whole.bytes()) != ref) {
            TEQUIO_CHECK(remove(ref));
            return base::fail(base::errc::io_failure,
                              "blob " + ref.text() + " was damaged on disk; fetched anew");
        }
    }
    const auto path = path_of(ref);
    if (::rename(part.c_str(), path.c_str()) != 0) return io_error(path, "rename to", errno);
    TEQUIO_CHECK(sync_folder(path.parent_path()));
    arriving_.erase(ref);
    whole_.insert(ref);
    return true;
}

bool blob_store::has_pieces(const base::blob_ref& ref, const base::piece_run& run) {
    if (has(ref)) return true;
    const auto here = pieces_present(ref);
    if (!here || !run.fits(ref)) return false;
    const auto pieces = run.within(ref);
    const auto first = here->begin() + static_cast<std::ptrdiff_t>(pieces.first);
    return std::all_of(first, first + static_cast<std::ptrdiff_t>(pieces.count),
                       [](bool here_too) { return here_too; });
}

base::result<std::vector<bool>> blob_store::pieces_present(const base::blob_ref& ref) {
    if (has(ref)) return std::vector<bool>(ref.pieces(), true);
    std::error_code ec;
    if (!arriving_.contains(ref) && !std::filesystem::exists(part_of(ref), ec)) {
        return std::vector<bool>(ref.pieces(), false);
    }
    TEQUIO_TRY(const auto* const blob, arriving_blob(ref));
    return blob->present;
}

base::result<const std::vector<base::digest>*> blob_store::leaves_of(const base::blob_ref& ref) {
    if (const auto it = leaves_.find(ref); it != leaves_.end()) return &it->second;
    TEQUIO_TRY(const auto file, map(ref));
    if (leaves_.size() >= leaf_lists_max) leaves_.erase(leaves_.begin());
    return &leaves_.emplace(ref, base::blob_leaves(file.bytes())).first->second;
}

base::result<base::blob_piece> blob_store::read_piece(const base::blob_ref& ref,
                                                      std::uint64_t index) {
    if (!has(ref) && index < ref.pieces()) return read_arrived_piece(ref, index);
    if (index >= ref.pieces()) {
        return base::fail(base::errc::io_failure, "blob " + ref.text() + " is not here");
    }
    TEQUIO_TRY(const auto* const leaves, leaves_of(ref));
    TEQUIO_TRY(const auto file, map(ref));
    const auto bytes = file.bytes().subspan(index * base::piece_size_bytes, ref.piece_size(index));
    base::blob_piece piece{index, {bytes.begin(), bytes.end()}, base::merkle_path(*leaves, index)};
    // Re-hash before serving: a flipped bit on a home disk must not be passed on (reference: Yeti
    // 2022).
    if (!base::piece_verifies(ref, piece)) {
        TEQUIO_CHECK(remove(ref));
        return base::fail(base::errc::io_failure,
                          "blob " + ref.text() + " is damaged on disk; removed, fetch it again");
    }
    return piece;
}

/// A piece of a blob that is not whole, and may never be: with the path that came with it.
base::result<base::blob_piece> blob_store::read_arrived_piece(const base::blob_ref& ref,
                                                              std::uint64_t index) {
    const auto it = arriving_.find(ref);
    if (it == arriving_.end() || !it->second.present[index]) {
        return base::fail(base::errc::io_failure, "blob " + ref.text() + ", piece " +
                                                      std::to_string(index) + " is not here");
    }
    TEQUIO_TRY(const auto file, mapped_file::open(part_of(ref)));
    const part_layout layout(ref);
    if (file.bytes().size() != layout.length()) {
        return base::fail(base::errc::io_failure, part_of(ref).string() + ": wrong length");
    }
    const auto bytes = file.bytes().subspan(index * base::piece_size_bytes, ref.piece_size(index));
    base::blob_piece piece{index,
                           {bytes.begin(), bytes.end()},
                           digests_at(file.bytes(), layout.path(index), layout.depth)};
    if (!base::piece_verifies(ref, piece)) {
        it->second.present[index] = false;
        ++it->second.missing;
        return base::fail(base::errc::io_failure, "blob " + ref.text() + ", piece " +
                                                      std::to_string(index) +
                                                      " is damaged on disk; fetch it again");
    }
    return piece;
}

base::result<mapped_file> blob_store::map(const base::blob_ref& ref) const {
    TEQUIO_TRY(auto file, mapped_file::open(path_of(ref)));
    if (file.bytes().size() != ref.size) {
        return base::fail(base::errc::io_failure, path_of(ref).string() + ": wrong length");
    }
    return file;
}

base::result<unique_fd> blob_store::open_file(const base::blob_ref& ref) const {
    unique_fd fd(::open(path_of(ref).c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return io_error(path_of(ref), "open", errno);
    return fd;
}

base::result<unique_fd> blob_store::open_pieces(const base::blob_ref& ref) const {
    // It may become whole between two tries: then it has the other name.
    for (const auto& path : {path_of(ref), part_of(ref), path_of(ref)}) {
        unique_fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
        if (fd) return fd;
    }
    return io_error(path_of(ref), "open", errno);
}

base::result<void> blob_store::remove(const base::blob_ref& ref) {
    if (arriving_.erase(ref) + whole_.erase(ref) != 0) used_ -= ref.size;
    leaves_.erase(ref);
    std::error_code ec;
    std::filesystem::remove(path_of(ref), ec);
    std::filesystem::remove(part_of(ref), ec);
    return {};
}

}  // namespace tequio::node
