#include "ledger/io/sqlite.hpp"

#include <sqlite3.h>

#include <utility>

namespace tequio::ledger {
namespace {

base::error failure(sqlite3* handle, std::string_view doing) {
    return base::fail(errc::storage_failed,
                      "SQLite, " + std::string(doing) + ": " + sqlite3_errmsg(handle));
}

}  // namespace

statement_handle::statement_handle(statement_handle&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)), bind_failure_(other.bind_failure_) {}

statement_handle& statement_handle::operator=(statement_handle&& other) noexcept {
    std::swap(handle_, other.handle_);
    std::swap(bind_failure_, other.bind_failure_);
    return *this;
}

statement_handle::~statement_handle() {
    sqlite3_finalize(handle_);
}

statement_handle& statement_handle::bind(int at, std::uint64_t value) {
    // Counters are unsigned, SQLite's integers are not: the bits are kept.
    bind_failure_ |= sqlite3_bind_int64(handle_, at, static_cast<sqlite3_int64>(value));
    return *this;
}

statement_handle& statement_handle::bind(int at, base::byte_view value) {
    // A null pointer would bind NULL, which is not an empty blob.
    const void* data = value.empty() ? "" : static_cast<const void*>(value.data());
    bind_failure_ |= sqlite3_bind_blob64(handle_, at, data, value.size(), SQLITE_TRANSIENT);
    return *this;
}

statement_handle& statement_handle::bind(int at, std::string_view value) {
    const char* data = value.empty() ? "" : value.data();
    bind_failure_ |=
        sqlite3_bind_text64(handle_, at, data, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    return *this;
}

statement_handle& statement_handle::bind_null(int at) {
    bind_failure_ |= sqlite3_bind_null(handle_, at);
    return *this;
}

base::result<bool> statement_handle::step() {
    if (bind_failure_ != SQLITE_OK) {
        return base::fail(errc::storage_failed, "SQLite, binding a parameter");
    }
    const int rc = sqlite3_step(handle_);
    if (rc == SQLITE_ROW) return true;
    if (rc == SQLITE_DONE) return false;
    return failure(sqlite3_db_handle(handle_), "running a statement");
}

base::result<void> statement_handle::run() {
    const auto stepped = step();
    reset();
    if (!stepped) return stepped.error();
    return {};
}

void statement_handle::reset() {
    sqlite3_reset(handle_);
    sqlite3_clear_bindings(handle_);
    bind_failure_ = SQLITE_OK;
}

bool statement_handle::is_null(int column) const {
    return sqlite3_column_type(handle_, column) == SQLITE_NULL;
}

std::uint64_t statement_handle::number(int column) const {
    return static_cast<std::uint64_t>(sqlite3_column_int64(handle_, column));
}

base::byte_view statement_handle::bytes(int column) const {
    const auto* data = static_cast<const std::uint8_t*>(sqlite3_column_blob(handle_, column));
    return {data, static_cast<std::size_t>(sqlite3_column_bytes(handle_, column))};
}

std::string_view statement_handle::text(int column) const {
    return base::as_text(bytes(column));
}

base::result<database> database::open(const std::string& path, open_mode mode) {
    sqlite3* handle = nullptr;
    const int flags = SQLITE_OPEN_NOMUTEX |
                      (mode == open_mode::read_only ? SQLITE_OPEN_READONLY
                                                    : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    const int rc = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
    database out(handle);
    if (rc != SQLITE_OK) {
        if (rc == SQLITE_CANTOPEN && mode == open_mode::read_only) {
            return base::fail(errc::not_found, "no ledger at " + path);
        }
        return failure(handle, "opening " + path);
    }
    sqlite3_extended_result_codes(handle, 1);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    // Readers and the writer's checkpoints may meet for a moment.
    sqlite3_busy_timeout(handle, 5000);
    TEQUIO_CHECK(out.run("PRAGMA foreign_keys=OFF; PRAGMA recursive_triggers=ON;"));
    return out;
}

database::database(database&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}

database& database::operator=(database&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
}

database::~database() {
    sqlite3_close_v2(handle_);
}

base::result<void> database::run(const std::string& sql) {
    if (sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
        return failure(handle_, sql.substr(0, sql.find(' ')));
    }
    return {};
}

base::result<statement_handle> database::prepare(std::string_view sql) {
    statement_handle out;
    if (sqlite3_prepare_v2(handle_, sql.data(), static_cast<int>(sql.size()), &out.handle_,
                           nullptr) != SQLITE_OK) {
        return failure(handle_, "preparing \"" + std::string(sql) + "\"");
    }
    return out;
}

base::result<std::uint64_t> database::number(std::string_view sql) {
    TEQUIO_TRY(auto statement, prepare(sql));
    TEQUIO_TRY(const bool row, statement.step());
    return row ? statement.number(0) : 0;
}

}  // namespace tequio::ledger
