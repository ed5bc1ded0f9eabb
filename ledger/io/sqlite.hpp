#pragma once

/// The little of SQLite that the store needs, with results instead of codes.

#include <memory>
#include <optional>
#include <string>

#include "base/bytes.hpp"
#include "ledger/errc.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace tequio::ledger {

class database;

/// A prepared statement. Parameters count from 1, columns from 0. Views of columns live until the
/// next `step` or `reset`.
class statement_handle {
public:
    statement_handle() = default;
    statement_handle(statement_handle&& other) noexcept;
    statement_handle& operator=(statement_handle&& other) noexcept;
    ~statement_handle();

    statement_handle& bind(int at, std::uint64_t value);
    statement_handle& bind(int at, base::byte_view value);
    statement_handle& bind(int at, std::string_view value);
    statement_handle& bind_null(int at);
    template <class T>
    statement_handle& bind(int at, const std::optional<T>& value) {
        return value ? bind(at, *value) : bind_null(at);
    }

    /// True when there is a row. Errors: `errc::storage_failed`.
    base::result<bool> step();
    /// Steps a statement without rows and resets it.
    base::result<void> run();
    /// Makes it ready to run again, without parameters.
    void reset();

    bool is_null(int column) const;
    std::uint64_t number(int column) const;
    base::byte_view bytes(int column) const;
    std::string_view text(int column) const;

private:
    friend class database;
    sqlite3_stmt* handle_ = nullptr;
    /// A parameter that could not be bound: reported by the next `step`.
    int bind_failure_ = 0;
};

enum class open_mode { read_only, read_write };

/// A connection, in defensive mode and without trust in the schema.
class database {
public:
    /// Errors: `errc::storage_failed`, `errc::not_found` when read only and absent.
    static base::result<database> open(const std::string& path, open_mode mode);
    database(database&& other) noexcept;
    database& operator=(database&& other) noexcept;
    ~database();

    base::result<void> run(const std::string& sql);
    base::result<statement_handle> prepare(std::string_view sql);
    /// The one number that `sql` gives.
    base::result<std::uint64_t> number(std::string_view sql);

private:
    explicit database(sqlite3* handle) : handle_(handle) {}
    sqlite3* handle_ = nullptr;
};

}  // namespace tequio::ledger
