#include "p2p/data_dir.hpp"

#include <fcntl.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "base/text.hpp"

namespace tequio::p2p {
namespace {

namespace fs = std::filesystem;

// A descriptor that closes itself.
struct descriptor {
    int value = -1;
    explicit descriptor(int fd) : value(fd) {}
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    ~descriptor() {
        if (value >= 0) ::close(value);
    }
};

base::error io_error(const fs::path& file, std::string_view what) {
    const int code = errno;
    return fail(errc::io_failure, file.string() + ": " + std::string(what) + ": " +
                                      std::generic_category().message(code));
}

base::result<void> make_private_folders(const fs::path& folder) {
    if (folder.empty()) return {};
    std::error_code code;
    if (fs::is_directory(folder, code)) return {};
    TEQUIO_CHECK(make_private_folders(folder.parent_path()));
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
        return io_error(folder, "cannot make this folder");
    }
    return {};
}

base::result<void> sync_folder(const fs::path& folder) {
    const fs::path name = folder.empty() ? fs::path(".") : folder;
    const descriptor fd(::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.value < 0 || ::fsync(fd.value) != 0) return io_error(name, "cannot sync this folder");
    return {};
}

// Reads at most `cap` bytes of a file that only its owner can read.
base::result<std::string> read_private_file(const fs::path& file, std::size_t cap) {
    const descriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.value < 0) {
        if (errno == ENOENT)
            return fail(errc::not_found, file.string() + ": there is no such file");
        return io_error(file, "cannot open");
    }
    struct stat info {};
    if (::fstat(fd.value, &info) != 0) return io_error(file, "cannot stat");
    if (!S_ISREG(info.st_mode)) {
        return fail(errc::bad_key_file, file.string() + ": not a regular file");
    }
    if ((info.st_mode & 077) != 0) {
        return fail(errc::key_file_exposed,
                    file.string() +
                        " can be read or written by other users, so its secret may be "
                        "known; type: chmod 600 '" +
                        file.string() + "'");
    }
    std::string out(cap + 1, '\0');
    std::size_t used = 0;
    while (used < out.size()) {
        const auto n = ::read(fd.value, out.data() + used, out.size() - used);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return io_error(file, "cannot read");
        if (n == 0) break;
        used += static_cast<std::size_t>(n);
    }
    if (used > cap) return fail(errc::bad_key_file, file.string() + ": too large");
    out.resize(used);
    return out;
}

base::result<void> write_all(int fd, std::string_view text, const fs::path& file) {
    while (!text.empty()) {
        const auto n = ::write(fd, text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return io_error(file, "cannot write");
        text.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
}

// Writes `text` under another name beside `file`, synced; returns that name.
base::result<fs::path> write_draft(const fs::path& file, std::string_view text) {
    TEQUIO_CHECK(make_private_folders(file.parent_path()));
    fs::path draft = file.string() + ".new." + std::to_string(::getpid());
    ::unlink(draft.c_str());
    const descriptor fd(::open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (fd.value < 0) return io_error(draft, "cannot create");
    auto written = write_all(fd.value, text, draft);
    if (written && ::fsync(fd.value) != 0) written = io_error(draft, "cannot sync");
    if (!written) {
        ::unlink(draft.c_str());
        return written.error();
    }
    return draft;
}

// Writes a new file whole or not at all: by link(2), which refuses to replace an existing file.
// Returns false when there is one.
base::result<bool> create_private_file(const fs::path& file, std::string_view text) {
    TEQUIO_TRY(const auto draft, write_draft(file, text));
    const int linked = ::link(draft.c_str(), file.c_str());
    const int code = errno;
    ::unlink(draft.c_str());
    if (linked != 0) {
        if (code == EEXIST) return false;
        errno = code;
        return io_error(file, "cannot create");
    }
    TEQUIO_CHECK(sync_folder(file.parent_path()));
    return true;
}

// The same, in the place of whatever is there.
base::result<void> replace_private_file(const fs::path& file, std::string_view text) {
    TEQUIO_TRY(const auto draft, write_draft(file, text));
    if (::rename(draft.c_str(), file.c_str()) != 0) {
        auto failed = io_error(file, "cannot replace");
        ::unlink(draft.c_str());
        return failed;
    }
    return sync_folder(file.parent_path());
}

fs::path swarm_file(const fs::path& data_dir, const base::swarm_id& id, std::string_view suffix) {
    return data_dir / "swarm" / (id.hex() + std::string(suffix));
}

// A membership is whole without them: what cannot be read is left out.
std::vector<address> load_seeds(const fs::path& file) {
    std::vector<address> out;
    const auto text = read_private_file(file, invite_addresses_max * (address_text_max + 1));
    if (!text) return out;
    for (const auto& line : base::split(*text, '\n')) {
        if (const auto seed = parse_address(line)) out.push_back(*seed);
    }
    return out;
}

base::result<membership> load_membership(const fs::path& note_file, const fs::path& secret_file) {
    TEQUIO_TRY(auto note, read_private_file(note_file, 64 * 1024));
    TEQUIO_TRY(const auto text, read_private_file(secret_file, 256));
    swarm_secret secret{};
    const auto bytes = base::from_hex(std::string_view(text).substr(0, text.find('\n')));
    if (!bytes || bytes->size() != secret.size()) {
        return fail(errc::bad_swarm_note, secret_file.string() + ": damaged; join the swarm again");
    }
    std::copy(bytes->begin(), bytes->end(), secret.begin());
    auto out = membership_of(std::move(note), secret);
    if (!out) return out.error().at(note_file.string());
    out->seeds = load_seeds(fs::path(note_file).replace_extension(".seeds"));
    return out;
}

}  // namespace

std::string key_text(std::string_view kind, const base::signing_key& key) {
    return "tequio-key 1 " + std::string(kind) + "\nseed " + base::to_hex(key.seed()) +
           "\npublic " + key.public_part().hex() + "\n";
}

base::result<base::signing_key> parse_key_text(std::string_view text, std::string_view kind) {
    const auto lines = base::split(text, '\n');
    if (lines.size() != 4 || !lines[3].empty()) {
        return fail(errc::bad_key_file,
                    "the key file is truncated or is none (three lines expected)");
    }
    if (lines[0] != "tequio-key 1 " + std::string(kind)) {
        return fail(errc::bad_key_file, "expected the first line \"tequio-key 1 " +
                                            std::string(kind) + "\", found \"" +
                                            std::string(lines[0].substr(0, 80)) + "\"");
    }
    auto damaged = [] { return fail(errc::bad_key_file, "the key file is damaged"); };
    if (!lines[1].starts_with("seed ") || !lines[2].starts_with("public ")) return damaged();
    auto seed = base::from_hex(lines[1].substr(5));
    const auto expected = base::parse_id<base::public_key>(lines[2].substr(7));
    if (!seed || seed->size() != 32 || !expected) return damaged();
    auto key = base::signing_key::from_seed(std::span<const std::uint8_t, 32>(seed->data(), 32));
    sodium_memzero(seed->data(), seed->size());
    if (key.public_part() != *expected) return damaged();
    return key;
}

base::result<base::signing_key> load_key_file(const fs::path& file, std::string_view kind) {
    TEQUIO_TRY(auto text, read_private_file(file, 1024));
    auto key = parse_key_text(text, kind);
    sodium_memzero(text.data(), text.size());
    if (!key) {
        return fail(errc::bad_key_file, file.string() + ": " + key.error().message() +
                                            "; restore it from a backup, or move it away to get "
                                            "a new identity");
    }
    return key;
}

base::result<void> create_key_file(const fs::path& file, std::string_view kind,
                                   const base::signing_key& key) {
    auto text = key_text(kind, key);
    const auto created = create_private_file(file, text);
    sodium_memzero(text.data(), text.size());
    if (!created) return created.error();
    if (!*created) {
        return fail(errc::bad_key_file, file.string() + " exists; move it away first");
    }
    return {};
}

base::result<base::signing_key> load_or_create_key_file(const fs::path& file,
                                                        std::string_view kind) {
    auto key = load_key_file(file, kind);
    if (key || !key.error().is(errc::not_found)) return key;
    auto fresh = base::signing_key::generate();
    auto text = key_text(kind, fresh);
    const auto created = create_private_file(file, text);
    sodium_memzero(text.data(), text.size());
    if (!created) return created.error();
    if (!*created) return load_key_file(file, kind);  // another process was first: its key counts
    return fresh;
}

fs::path identity_file(const fs::path& data_dir) {
    return data_dir / "identity.key";
}

base::result<identity> load_or_create_identity(const fs::path& data_dir) {
    TEQUIO_TRY(auto key, load_or_create_key_file(identity_file(data_dir), "identity"));
    return identity(std::move(key));
}

base::result<identity> load_identity(const fs::path& data_dir) {
    TEQUIO_TRY(auto key, load_key_file(identity_file(data_dir), "identity"));
    return identity(std::move(key));
}

base::digest fresh_entropy() {
    // A key made and dropped: its seed comes from the system's random source.
    const auto key = base::signing_key::generate();
    base::digest out;
    std::copy(key.seed().begin(), key.seed().end(), out.bytes.begin());
    return out;
}

base::result<data_dir_lock> data_dir_lock::acquire(const fs::path& data_dir) {
    TEQUIO_CHECK(make_private_folders(data_dir));
    const fs::path file = data_dir / "lock";
    const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return io_error(file, "cannot open");
    data_dir_lock lock(fd);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) return io_error(file, "cannot lock");
        char text[32] = {};
        const auto n = ::pread(fd, text, sizeof text - 1, 0);
        const auto holder =
            base::parse_u64(std::string_view(text, n > 0 ? static_cast<std::size_t>(n) : 0)
                                .substr(0, std::strcspn(text, "\n")));
        return fail(errc::data_dir_locked,
                    "the data directory " + data_dir.string() + " is in use by " +
                        (holder ? "process " + std::to_string(*holder) : "another process") +
                        "; stop it, or choose another directory with --data-dir");
    }
    const auto pid = std::to_string(::getpid()) + "\n";
    if (::ftruncate(fd, 0) != 0) return io_error(file, "cannot write");
    TEQUIO_CHECK(write_all(fd, pid, file));
    return lock;
}

data_dir_lock::data_dir_lock(data_dir_lock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

data_dir_lock& data_dir_lock::operator=(data_dir_lock&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
}

data_dir_lock::~data_dir_lock() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

base::result<void> store_membership(const fs::path& data_dir, const membership& swarm) {
    // The note last: without what goes before it would be a membership that cannot be read, or one
    // that finds nobody.
    if (!swarm.seeds.empty()) {
        std::string seeds;
        for (const auto& seed : swarm.seeds) seeds += seed.text() + "\n";
        TEQUIO_CHECK(replace_private_file(swarm_file(data_dir, swarm.id, ".seeds"), seeds));
    }
    const auto secret = base::to_hex(swarm.secret) + "\n";
    TEQUIO_CHECK(create_private_file(swarm_file(data_dir, swarm.id, ".secret"), secret));
    TEQUIO_CHECK(create_private_file(swarm_file(data_dir, swarm.id, ".note"), swarm.note));
    return {};
}

base::result<std::vector<membership>> load_memberships(const fs::path& data_dir) {
    std::vector<fs::path> notes;
    std::error_code code;
    for (fs::directory_iterator at(data_dir / "swarm", code), end; !code && at != end;
         at.increment(code)) {
        if (at->path().extension() == ".note") notes.push_back(at->path());
    }
    if (code && code != std::errc::no_such_file_or_directory) {
        return fail(errc::io_failure, (data_dir / "swarm").string() + ": " + code.message());
    }
    std::sort(notes.begin(), notes.end());
    std::vector<membership> out;
    for (const auto& note : notes) {
        auto secret = note;
        TEQUIO_TRY(auto m, load_membership(note, secret.replace_extension(".secret")));
        out.push_back(std::move(m));
    }
    return out;
}

base::result<void> remove_membership(const fs::path& data_dir, const base::swarm_id& id) {
    const auto note = swarm_file(data_dir, id, ".note");
    if (::unlink(note.c_str()) != 0) {
        if (errno == ENOENT) {
            return fail(errc::not_found, "this node is not in swarm " + id.brief());
        }
        return io_error(note, "cannot remove");
    }
    ::unlink(swarm_file(data_dir, id, ".secret").c_str());
    ::unlink(swarm_file(data_dir, id, ".seeds").c_str());
    return sync_folder(data_dir / "swarm");
}

}  // namespace tequio::p2p
