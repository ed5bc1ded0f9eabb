#include "ledger/io/schema.hpp"
#include "ledger/verify.hpp"

namespace tequio::ledger {
namespace {

/// An export above this is not read into memory (guess: a million entries).
constexpr std::size_t export_size_max_bytes = std::size_t{2} << 30;

}  // namespace

base::result<audit_report> verify_store(const std::string& path) {
    TEQUIO_TRY(const auto reader, store_reader::open(path));
    auditor audit;
    // The file is read first: the daemon writes it last, so it is never ahead of what follows.
    TEQUIO_TRY(const auto file, reader->head_file());
    // Entries and head must be of one moment while the daemon appends.
    std::string head;
    TEQUIO_CHECK(reader->at_one_moment([&]() -> base::result<void> {
        TEQUIO_TRY(head, reader->head());
        return reader->scan([&](const stored_row& row) {
            audit.add(row);
            return true;
        });
    }));
    return audit.finish(head, file);
}

base::result<audit_report> verify_file(const std::string& path) {
    TEQUIO_TRY(const auto start, read_file(path, 16));
    if (start.empty()) return base::fail(errc::not_found, "no ledger at " + path);
    if (start.starts_with("SQLite format 3")) return verify_store(path);
    TEQUIO_TRY(const auto text, read_file(path, export_size_max_bytes));
    return verify_export(text);
}

}  // namespace tequio::ledger
