#pragma once

/// The tables of a ledger file, and the files around it.

#include <string>

#include "ledger/io/sqlite.hpp"

namespace tequio::ledger {

/// "TQLG": SQLite's application id of a ledger.
inline constexpr std::uint64_t application_id = 0x54514c47;
/// The format this program writes, and the newest it reads (SQLite's user_version).
inline constexpr std::uint64_t format_version = 1;

inline constexpr std::string_view create_tables = R"(
CREATE TABLE entry(
    idx   INTEGER PRIMARY KEY,
    prev  BLOB NOT NULL CHECK (length(prev) = 32),
    leaf  BLOB NOT NULL CHECK (length(leaf) = 32),
    key   BLOB UNIQUE CHECK (key IS NULL OR length(key) = 32),
    task  BLOB,
    round INTEGER,
    lane  INTEGER,
    note  TEXT NOT NULL
) STRICT;
CREATE INDEX entry_by_work ON entry(task, round, lane);
CREATE TABLE offer(
    key    BLOB PRIMARY KEY,
    text   TEXT NOT NULL,
    record BLOB NOT NULL
) STRICT;
CREATE TABLE head(
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    note TEXT NOT NULL
) STRICT;
CREATE TRIGGER entry_never_changes BEFORE UPDATE ON entry
    BEGIN SELECT RAISE(ABORT, 'entries never change'); END;
CREATE TRIGGER entry_never_goes BEFORE DELETE ON entry
    BEGIN SELECT RAISE(ABORT, 'entries are never deleted'); END;
)";

/// The most that is read of a signed head: far more than one needs.
constexpr std::size_t head_size_max_bytes = 4096;

/// Where the second copy of the signed head lies.
inline std::string head_path(const std::string& path) {
    return path + ".head";
}

/// Errors: `errc::newer_version`; `errc::damaged` when the file is no ledger.
base::result<void> check_format(database& db, const std::string& path);

/// Replaces the file at `path`: temporary file, fsync, rename, fsync of the folder.
/// Errors: `errc::storage_failed`.
base::result<void> replace_file(const std::string& path, std::string_view content);
/// The whole file, at most `size_max_bytes` of it; "" when it is absent.
/// Errors: `errc::storage_failed`.
base::result<std::string> read_file(const std::string& path, std::size_t size_max_bytes);

/// Holds an exclusive lock on a file for as long as it lives.
class file_lock {
public:
    /// Errors: `errc::locked` at once when another process holds it, `errc::storage_failed`.
    static base::result<file_lock> take(const std::string& path);
    file_lock(file_lock&& other) noexcept;
    file_lock& operator=(file_lock&& other) noexcept;
    ~file_lock();

private:
    explicit file_lock(int descriptor) : descriptor_(descriptor) {}
    int descriptor_ = -1;
};

}  // namespace tequio::ledger
