#pragma once

/// The node's durable memory (jobs, chronicles, facts, peers): one ordered table of (bucket, key)
/// -> value in SQLite (WAL, synchronous=FULL). Cores name what to keep; this shell keeps it. Used
/// from the storage thread.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.hpp"

namespace tequio::node {

/// One change. An absent value erases the key; an absent key, with it, the whole bucket.
struct store_change {
    std::string bucket;
    std::optional<std::string> key;
    std::optional<std::string> value;
};

/// One thing kept.
struct stored_item {
    std::string bucket;
    std::string key;
    std::string value;
};

class key_value_store {
public:
    /// Opens or makes the database. Errors: a newer schema (says which program wrote it), a damaged
    /// file, `errc::io_failure`.
    static base::result<std::unique_ptr<key_value_store>> open(const std::filesystem::path& file);
    /// Opens for reading only, beside a running daemon.
    static base::result<std::unique_ptr<key_value_store>> open_read_only(
        const std::filesystem::path& file);
    ~key_value_store();

    /// All of `changes` or none, durable on return. One transaction, so a batch costs one sync.
    base::result<void> apply(const std::vector<store_change>& changes);
    /// Everything, ordered by bucket, then key (bytes).
    base::result<std::vector<stored_item>> load_all() const;
    /// The items of one bucket.
    base::result<std::vector<stored_item>> load(const std::string& bucket) const;

private:
    struct database;
    explicit key_value_store(std::unique_ptr<database> db);
    std::unique_ptr<database> db_;
};

}  // namespace tequio::node
