#pragma once

/// The ledger on disk: one SQLite file (WAL, synchronous=FULL) and, beside it, `<file>.head` with
/// the last signed head, so that a shortened database is noticed. One writer (the storage thread of
/// the daemon); any number of readers.

#include <functional>
#include <memory>
#include <span>

#include "ledger/write.hpp"

namespace tequio::ledger {

/// The node that a ledger belongs to, and the key that signs its heads.
struct store_owner {
    base::node_id node;
    std::shared_ptr<const base::signing_key> log_key;
    certified_key certificate;
};

/// Appends. Not thread-safe; every call may wait for the disk.
class store {
public:
    /// Opens the ledger at `path` for writing, or makes it with its opening entry, dated `now`.
    /// Errors: `errc::newer_version`, `errc::wrong_owner`, `errc::locked`, `errc::damaged` when
    /// entries and head do not agree, `errc::storage_failed`.
    static base::result<std::unique_ptr<store>> open(const std::string& path, store_owner owner,
                                                     base::unix_time now);
    ~store();

    /// Carries out `writes` in order, in one transaction, and signs one head for all. When it
    /// returns they are durable. Answers one outcome a write.
    /// Errors: `errc::bad_receipt` for a note that may not stand in this ledger (nothing is written
    /// then), `errc::storage_failed`: nothing was written, and the store refuses further writes.
    base::result<std::vector<write_outcome>> commit(std::span<const store_write> writes);

    /// Offers made and neither answered nor given up; for `receipt_desk` after a restart.
    base::result<std::vector<open_offer>> open_offers();
    std::uint64_t size() const;
    /// The signed checkpoint note over all entries.
    const std::string& head() const;

private:
    class impl;
    explicit store(std::unique_ptr<impl> i);
    std::unique_ptr<impl> impl_;
};

/// What a reader asks for. Newest last.
struct entry_query {
    std::optional<base::task_id> task;  ///< of this task only
    std::optional<base::round_index> round;
    std::optional<base::lane_index> lane;
    std::uint64_t limit = 100;  ///< the newest so many
};

/// One row as it lies in the file, for auditors: nothing about it is believed.
struct stored_row {
    /// What the index says the entry is about; absent in a text export.
    struct index_columns {
        base::byte_vector key, task;  ///< 32 bytes each; empty for the opening
        std::optional<std::uint64_t> round, lane;
    };
    std::uint64_t index = 0;
    base::byte_vector prev, leaf;  ///< 32 bytes each, if the file is whole; no leaf in an export
    std::string note;
    std::optional<index_columns> columns;
};

/// Reads while the daemon writes. Not thread-safe.
class store_reader {
public:
    /// Errors: `errc::not_found`, `errc::newer_version`, `errc::storage_failed`.
    static base::result<std::unique_ptr<store_reader>> open(const std::string& path);
    ~store_reader();

    /// Errors: `errc::storage_failed`, `errc::damaged`.
    base::result<std::vector<entry>> entries(const entry_query& query);
    /// Every row in index order, without judging it; `each` returns false to stop.
    base::result<void> scan(const std::function<bool(const stored_row&)>& each);
    /// Runs `reads` on one snapshot, whatever the daemon appends meanwhile; gives its result.
    base::result<void> at_one_moment(const std::function<base::result<void>()>& reads);
    base::result<std::uint64_t> size();
    /// The head in the database, and the one in the file beside it ("" when there is none).
    base::result<std::string> head();
    base::result<std::string> head_file() const;

private:
    class impl;
    explicit store_reader(std::unique_ptr<impl> i);
    std::unique_ptr<impl> impl_;
};

}  // namespace tequio::ledger
