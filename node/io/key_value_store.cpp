#include "node/io/key_value_store.hpp"

#include <sqlite3.h>

namespace tequio::node {
namespace {

constexpr int schema_version = 1;

}  // namespace

struct key_value_store::database {
    sqlite3* handle = nullptr;
    ~database() { sqlite3_close_v2(handle); }

    base::error failure(const char* what) const {
        return base::fail(base::errc::io_failure,
                          std::string("node.db: cannot ") + what + ": " +
                              (handle ? sqlite3_errmsg(handle) : "no memory"));
    }
    base::result<void> run(const char* sql) const {
        if (sqlite3_exec(handle, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return failure(sql);
        return {};
    }
};

namespace {

/// A prepared statement, finalised on destruction.
class statement {
public:
    statement(sqlite3* db, const char* sql) { sqlite3_prepare_v2(db, sql, -1, &handle_, nullptr); }
    ~statement() { sqlite3_finalize(handle_); }
    statement(const statement&) = delete;
    statement& operator=(const statement&) = delete;
    explicit operator bool() const { return handle_ != nullptr; }
    void bind(int at, const std::string& value) {
        sqlite3_bind_blob64(handle_, at, value.data(), value.size(), SQLITE_TRANSIENT);
    }
    int step() { return sqlite3_step(handle_); }
    void reset() { sqlite3_reset(handle_); }
    std::string text(int column) const {
        const auto* data = static_cast<const char*>(sqlite3_column_blob(handle_, column));
        const auto size = static_cast<std::size_t>(sqlite3_column_bytes(handle_, column));
        return data ? std::string(data, size) : std::string();
    }
    int integer(int column) const { return sqlite3_column_int(handle_, column); }

private:
    sqlite3_stmt* handle_ = nullptr;
};

}  // namespace

key_value_store::key_value_store(std::unique_ptr<database> db) : db_(std::move(db)) {}
key_value_store::~key_value_store() = default;

base::result<std::unique_ptr<key_value_store>> key_value_store::open(
    const std::filesystem::path& file) {
    auto db = std::make_unique<database>();
    if (sqlite3_open_v2(file.c_str(), &db->handle,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        nullptr) != SQLITE_OK) {
        return db->failure("open the database");
    }
    sqlite3_busy_timeout(db->handle, 5000);
    TEQUIO_CHECK(db->run("PRAGMA journal_mode=WAL"));
    TEQUIO_CHECK(db->run("PRAGMA synchronous=FULL"));
    TEQUIO_CHECK(db->run("PRAGMA trusted_schema=OFF"));
    int version = 0;
    {
        statement s(db->handle, "PRAGMA user_version");
        if (!s || s.step() != SQLITE_ROW) return db->failure("read the schema version");
        version = s.integer(0);
    }
    if (version > schema_version) {
        return base::fail(base::errc::io_failure,
                          file.string() + ": written by a newer tequio (schema " +
                              std::to_string(version) + "); this one reads up to " +
                              std::to_string(schema_version) + "; install the newer one");
    }
    if (version == 0) {
        TEQUIO_CHECK(db->run(
            "BEGIN IMMEDIATE;"
            "CREATE TABLE item(bucket BLOB NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,"
            " PRIMARY KEY(bucket, key)) STRICT, WITHOUT ROWID;"
            "PRAGMA user_version=1;"
            "COMMIT"));
    }
    return std::unique_ptr<key_value_store>(new key_value_store(std::move(db)));
}

base::result<std::unique_ptr<key_value_store>> key_value_store::open_read_only(
    const std::filesystem::path& file) {
    auto db = std::make_unique<database>();
    if (sqlite3_open_v2(file.c_str(), &db->handle, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX,
                        nullptr) != SQLITE_OK) {
        return db->failure("open the database");
    }
    sqlite3_busy_timeout(db->handle, 5000);
    return std::unique_ptr<key_value_store>(new key_value_store(std::move(db)));
}

base::result<void> key_value_store::apply(const std::vector<store_change>& changes) {
    if (changes.empty()) return {};
    TEQUIO_CHECK(db_->run("BEGIN IMMEDIATE"));
    const auto undo = [&](const char* what) {
        auto error = db_->failure(what);
        (void)db_->run("ROLLBACK");
        return error;
    };
    {
        statement put(db_->handle,
                      "INSERT OR REPLACE INTO item(bucket, key, value) VALUES(?1, ?2, ?3)");
        statement erase(db_->handle, "DELETE FROM item WHERE bucket = ?1 AND key = ?2");
        statement erase_all(db_->handle, "DELETE FROM item WHERE bucket = ?1");
        if (!put || !erase || !erase_all) return undo("prepare");
        for (const auto& change : changes) {
            auto& s = change.value ? put : change.key ? erase : erase_all;
            s.reset();
            s.bind(1, change.bucket);
            if (change.key || change.value) s.bind(2, change.key.value_or(""));
            if (change.value) s.bind(3, *change.value);
            if (s.step() != SQLITE_DONE) return undo("store");
        }
    }
    if (auto done = db_->run("COMMIT"); !done) return undo("commit");
    return {};
}

base::result<std::vector<stored_item>> key_value_store::load_all() const {
    std::vector<stored_item> out;
    statement s(db_->handle, "SELECT bucket, key, value FROM item ORDER BY bucket, key");
    if (!s) return db_->failure("read");
    int rc = 0;
    while ((rc = s.step()) == SQLITE_ROW) out.push_back({s.text(0), s.text(1), s.text(2)});
    if (rc != SQLITE_DONE) return db_->failure("read");
    return out;
}

base::result<std::vector<stored_item>> key_value_store::load(const std::string& bucket) const {
    std::vector<stored_item> out;
    statement s(db_->handle, "SELECT bucket, key, value FROM item WHERE bucket = ?1 ORDER BY key");
    if (!s) return db_->failure("read");
    s.bind(1, bucket);
    int rc = 0;
    while ((rc = s.step()) == SQLITE_ROW) out.push_back({s.text(0), s.text(1), s.text(2)});
    if (rc != SQLITE_DONE) return db_->failure("read");
    return out;
}

}  // namespace tequio::node
