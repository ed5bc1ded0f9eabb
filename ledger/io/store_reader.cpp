#include <algorithm>

#include "ledger/io/schema.hpp"
#include "ledger/store.hpp"

namespace tequio::ledger {
namespace {

base::byte_vector copy(base::byte_view bytes) {
    return {bytes.begin(), bytes.end()};
}

}  // namespace

class store_reader::impl {
public:
    impl(std::string path, database db) : path_(std::move(path)), db_(std::move(db)) {}

    std::string path_;
    database db_;
};

store_reader::store_reader(std::unique_ptr<impl> i) : impl_(std::move(i)) {}
store_reader::~store_reader() = default;

base::result<std::unique_ptr<store_reader>> store_reader::open(const std::string& path) {
    TEQUIO_TRY(auto db, database::open(path, open_mode::read_only));
    TEQUIO_CHECK(check_format(db, path));
    return std::unique_ptr<store_reader>(
        new store_reader(std::make_unique<impl>(path, std::move(db))));
}

base::result<std::vector<entry>> store_reader::entries(const entry_query& query) {
    // NULL stands for "any"; the index serves the common case of one task.
    const std::string_view sql =
        query.task ? "SELECT idx, prev, note FROM entry WHERE task = ?1 "
                     "AND (?2 IS NULL OR round = ?2) AND (?3 IS NULL OR lane = ?3) "
                     "ORDER BY idx DESC LIMIT ?4"
                   : "SELECT idx, prev, note FROM entry WHERE ?1 IS NULL "
                     "AND (?2 IS NULL OR round = ?2) AND (?3 IS NULL OR lane = ?3) "
                     "ORDER BY idx DESC LIMIT ?4";
    TEQUIO_TRY(auto rows, impl_->db_.prepare(sql));
    if (query.task) rows.bind(1, query.task->view());
    if (query.round) rows.bind(2, query.round->value);
    if (query.lane) rows.bind(3, query.lane->value);
    rows.bind(4, query.limit);
    std::vector<entry> out;
    for (;;) {
        TEQUIO_TRY(const bool row, rows.step());
        if (!row) break;
        const auto prev = base::id_from_bytes<base::digest>(rows.bytes(1));
        if (!prev) return base::fail(errc::damaged, "an entry without hashes: run ledger verify");
        out.push_back({{rows.number(0)}, *prev, std::string(rows.text(2))});
    }
    std::reverse(out.begin(), out.end());
    return out;
}

base::result<void> store_reader::scan(const std::function<bool(const stored_row&)>& each) {
    TEQUIO_TRY(auto rows, impl_->db_.prepare("SELECT idx, prev, leaf, note, key, task, round, lane "
                                             "FROM entry ORDER BY idx"));
    for (;;) {
        TEQUIO_TRY(const bool row, rows.step());
        if (!row) return {};
        const auto number_or_none = [&](int column) {
            return rows.is_null(column) ? std::nullopt : std::optional(rows.number(column));
        };
        const stored_row out{rows.number(0), copy(rows.bytes(1)), copy(rows.bytes(2)),
                             std::string(rows.text(3)),
                             stored_row::index_columns{copy(rows.bytes(4)), copy(rows.bytes(5)),
                                                       number_or_none(6), number_or_none(7)}};
        if (!each(out)) return {};
    }
}

base::result<void> store_reader::at_one_moment(const std::function<base::result<void>()>& reads) {
    TEQUIO_CHECK(impl_->db_.run("BEGIN"));
    auto out = reads();
    TEQUIO_CHECK(impl_->db_.run("COMMIT"));
    return out;
}

base::result<std::uint64_t> store_reader::size() {
    return impl_->db_.number("SELECT count(*) FROM entry");
}

base::result<std::string> store_reader::head() {
    TEQUIO_TRY(auto row, impl_->db_.prepare("SELECT note FROM head WHERE id = 1"));
    TEQUIO_TRY(const bool there, row.step());
    return there ? std::string(row.text(0)) : std::string();
}

base::result<std::string> store_reader::head_file() const {
    return read_file(head_path(impl_->path_), head_size_max_bytes);
}

}  // namespace tequio::ledger
