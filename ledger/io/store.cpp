#include "ledger/store.hpp"

#include <algorithm>

#include "base/ensure.hpp"
#include "base/sha256.hpp"
#include "ledger/io/schema.hpp"

namespace tequio::ledger {
namespace {

/// What the indexed columns of an entry hold.
struct columns {
    std::optional<base::digest> key;          ///< of its statement
    std::optional<base::digest> receipt_key;  ///< of the receipt it is or stands for
    std::optional<receipt_facts> facts;
};

columns columns_of(const entry_content& content) {
    if (const auto* r = std::get_if<receipt>(&content)) {
        const auto key = statement_key(statement::receipt, r->facts);
        return {key, key, r->facts};
    }
    if (const auto* n = std::get_if<unanswered_note>(&content)) {
        return {statement_key(statement::unanswered, n->offered.facts),
                statement_key(statement::receipt, n->offered.facts), n->offered.facts};
    }
    return {};
}

base::error damaged(const std::string& path, std::string_view why) {
    return base::fail(errc::damaged, path + ": " + std::string(why) +
                                         ". Nothing was written. Run `tequio ledger verify`.");
}

}  // namespace

class store::impl {
public:
    impl(std::string path, store_owner owner, file_lock lock, database db)
        : path_(std::move(path)),
          owner_(std::move(owner)),
          lock_(std::move(lock)),
          db_(std::move(db)) {}

    base::result<void> prepare();
    base::result<void> create(base::unix_time now);
    base::result<void> load();
    base::result<std::vector<write_outcome>> commit(std::span<const store_write> writes);
    base::result<std::vector<open_offer>> open_offers();

    std::uint64_t size() const { return tree_.size(); }
    const std::string& head() const { return head_; }

private:
    base::result<void> check_head_file(const base::digest& root_at_file_size,
                                       const std::optional<checkpoint>& in_file) const;
    base::result<std::optional<checkpoint>> read_head(std::string_view note) const;
    base::result<write_outcome> carry_out(const keep_offer& w);
    base::result<write_outcome> carry_out(const append_note& w);
    base::result<std::vector<write_outcome>> carry_out_all(std::span<const store_write> writes);
    base::result<std::optional<write_outcome>> find_entry(const base::digest& key);
    base::result<std::optional<write_outcome>> find_offer(const base::digest& key);
    base::result<void> insert(const std::string& note, const columns& c);
    base::result<void> sign_head();
    base::result<void> belongs_here(const entry_content& content) const;

    std::string path_;
    store_owner owner_;
    file_lock lock_;
    database db_;
    statement_handle find_entry_, find_offer_, insert_entry_, insert_offer_, delete_offer_,
        set_head_;
    growing_tree tree_;
    base::digest last_;  ///< SHA-256 of the last entry's bytes
    std::string head_;
    bool broken_ = false;
};

base::result<void> store::impl::prepare() {
    TEQUIO_TRY(find_entry_, db_.prepare("SELECT idx, note FROM entry WHERE key = ?1"));
    TEQUIO_TRY(find_offer_, db_.prepare("SELECT text FROM offer WHERE key = ?1"));
    TEQUIO_TRY(insert_entry_,
               db_.prepare("INSERT INTO entry(idx, prev, leaf, key, task, round, lane, note) "
                           "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"));
    TEQUIO_TRY(insert_offer_,
               db_.prepare("INSERT INTO offer(key, text, record) VALUES(?1, ?2, ?3)"));
    TEQUIO_TRY(delete_offer_, db_.prepare("DELETE FROM offer WHERE key = ?1"));
    TEQUIO_TRY(set_head_, db_.prepare("INSERT INTO head(id, note) VALUES(1, ?1) "
                                      "ON CONFLICT(id) DO UPDATE SET note = excluded.note"));
    return {};
}

base::result<void> store::impl::create(base::unix_time now) {
    base::signed_note note;
    note.text = opening_text({owner_.node, owner_.certificate, now});
    note.sign(log_name, *owner_.log_key);
    // One transaction: a crash leaves either no ledger or a whole one.
    TEQUIO_CHECK(db_.run("BEGIN IMMEDIATE"));
    TEQUIO_CHECK(db_.run(std::string(create_tables)));
    TEQUIO_CHECK(db_.run("PRAGMA application_id = " + std::to_string(application_id)));
    TEQUIO_CHECK(db_.run("PRAGMA user_version = " + std::to_string(format_version)));
    TEQUIO_CHECK(prepare());
    TEQUIO_CHECK(insert(note.encode(), {}));
    TEQUIO_CHECK(sign_head());
    TEQUIO_CHECK(db_.run("COMMIT"));
    return replace_file(head_path(path_), head_);
}

base::result<std::optional<checkpoint>> store::impl::read_head(std::string_view text) const {
    if (text.empty()) return std::optional<checkpoint>();
    const auto note = base::parse_signed_note(text);
    if (!note) return damaged(path_, "a signed head that is not a note");
    const auto head = parse_checkpoint(note->text);
    if (!head || head->origin != checkpoint_origin(owner_.node)) {
        return damaged(path_, "a signed head that is not this ledger's");
    }
    if (!note->verify({head->origin, owner_.certificate.key})) {
        return damaged(path_, "a head that this node's log key did not sign");
    }
    return std::optional(*head);
}

base::result<void> store::impl::load() {
    TEQUIO_CHECK(prepare());
    TEQUIO_TRY(auto select_head, db_.prepare("SELECT note FROM head WHERE id = 1"));
    TEQUIO_TRY(const bool has_head, select_head.step());
    head_ = has_head ? select_head.text(0) : "";
    TEQUIO_TRY(const auto file, read_file(head_path(path_), head_size_max_bytes));
    TEQUIO_TRY(const auto opening_row, db_.number("SELECT count(*) FROM entry WHERE idx = 0"));
    if (opening_row == 0) return damaged(path_, "no opening entry");

    TEQUIO_TRY(auto rows, db_.prepare("SELECT idx, prev, leaf, note FROM entry ORDER BY idx"));
    entry last;
    std::optional<checkpoint> in_file;
    base::digest root_at_file_size;
    for (;;) {
        TEQUIO_TRY(const bool row, rows.step());
        if (!row) break;
        if (rows.number(0) != tree_.size()) return damaged(path_, "an entry is missing");
        const auto prev = base::id_from_bytes<base::digest>(rows.bytes(1));
        const auto leaf = base::id_from_bytes<base::digest>(rows.bytes(2));
        if (!prev || !leaf) return damaged(path_, "an entry without hashes");
        if (tree_.size() == 0) {
            const auto content = verify_entry_note(rows.text(3));
            const auto* o = content ? std::get_if<opening_note>(&*content) : nullptr;
            if (!o) return damaged(path_, "the first entry is not a valid opening");
            if (o->node != owner_.node || o->log_key.key != owner_.certificate.key) {
                return base::fail(errc::wrong_owner,
                                  path_ + " is the ledger of node " + o->node.brief() +
                                      "; this is node " + owner_.node.brief() +
                                      ". Use the data directory that belongs to this identity.");
            }
            TEQUIO_TRY(in_file, read_head(file));
        }
        tree_.add(*leaf);
        if (in_file && in_file->size == tree_.size()) root_at_file_size = tree_.root();
        last = {{rows.number(0)}, *prev, std::string(rows.text(3))};
    }
    last_ = base::sha256(last.bytes());
    TEQUIO_TRY(const auto head, read_head(head_));
    if (!head || head->size != tree_.size() || head->root != tree_.root()) {
        return damaged(path_, "entries and signed head do not agree");
    }
    TEQUIO_CHECK(check_head_file(root_at_file_size, in_file));
    if (file == head_) return {};  // a full disk must not keep a ledger from being opened
    return replace_file(head_path(path_), head_);
}

base::result<void> store::impl::check_head_file(const base::digest& root_at_file_size,
                                                const std::optional<checkpoint>& in_file) const {
    if (!in_file) return {};
    if (in_file->size > tree_.size()) {
        return damaged(path_, "it has " + std::to_string(tree_.size()) +
                                  " entries, but a head over " + std::to_string(in_file->size) +
                                  " was signed (in " + head_path(path_) +
                                  "): it is older than that, perhaps from a backup");
    }
    if (in_file->root != root_at_file_size) {
        return damaged(path_, "it is not a continuation of the head in " + head_path(path_));
    }
    return {};
}

base::result<std::optional<write_outcome>> store::impl::find_entry(const base::digest& key) {
    find_entry_.bind(1, key.view());
    const auto row = find_entry_.step();
    std::optional<write_outcome> out;
    if (row && *row) {
        out = write_outcome{write_outcome::kind::existed, base::entry_index{find_entry_.number(0)},
                            std::string(find_entry_.text(1))};
    }
    find_entry_.reset();
    if (!row) return row.error();
    return out;
}

base::result<std::optional<write_outcome>> store::impl::find_offer(const base::digest& key) {
    find_offer_.bind(1, key.view());
    const auto row = find_offer_.step();
    std::optional<write_outcome> out;
    if (row && *row) {
        out = write_outcome{write_outcome::kind::existed, {}, std::string(find_offer_.text(0))};
    }
    find_offer_.reset();
    if (!row) return row.error();
    return out;
}

base::result<void> store::impl::insert(const std::string& note, const columns& c) {
    const entry e{{tree_.size()}, last_, note};
    const auto bytes = e.bytes();
    const auto leaf = base::merkle_leaf(base::as_bytes(bytes));
    insert_entry_.bind(1, e.index.value).bind(2, e.prev.view()).bind(3, leaf.view());
    insert_entry_.bind(8, std::string_view(note));
    if (c.key) insert_entry_.bind(4, c.key->view());
    if (c.facts) {
        insert_entry_.bind(5, c.facts->task.view()).bind(6, c.facts->round.value);
        if (c.facts->lane) insert_entry_.bind(7, c.facts->lane->value);
    }
    TEQUIO_CHECK(insert_entry_.run());
    tree_.add(leaf);
    last_ = base::sha256(bytes);
    return {};
}

base::result<void> store::impl::sign_head() {
    base::signed_note note;
    const auto origin = checkpoint_origin(owner_.node);
    note.text = checkpoint_text({origin, tree_.size(), tree_.root()});
    note.sign(origin, *owner_.log_key);
    head_ = note.encode();
    return set_head_.bind(1, std::string_view(head_)).run();
}

base::result<void> store::impl::belongs_here(const entry_content& content) const {
    if (std::holds_alternative<opening_note>(content)) {
        return base::fail(errc::bad_receipt, "a ledger has one opening");
    }
    const auto* n = std::get_if<unanswered_note>(&content);
    const auto& r = n ? n->offered : std::get<receipt>(content);
    const bool as_worker = r.facts.worker == owner_.node && r.worker_key == owner_.certificate;
    const bool as_checker = r.facts.checker == owner_.node && r.checker_key == owner_.certificate;
    if (!as_worker && !as_checker) {
        return base::fail(errc::bad_receipt, "a receipt between other nodes, or under another key");
    }
    return {};
}

base::result<write_outcome> store::impl::carry_out(const keep_offer& w) {
    TEQUIO_TRY(const auto r, parse_receipt(w.text));
    if (r.checker_key != owner_.certificate || !r.worker_key) {
        return base::fail(errc::bad_receipt, "an offer that this node may not sign");
    }
    const auto key = statement_key(statement::receipt, r.facts);
    for (const auto& k : {key, statement_key(statement::unanswered, r.facts)}) {
        TEQUIO_TRY(auto standing, find_entry(k));
        if (standing) return std::move(*standing);
    }
    TEQUIO_TRY(auto standing, find_offer(key));
    if (standing) return std::move(*standing);
    TEQUIO_CHECK(insert_offer_.bind(1, key.view())
                     .bind(2, std::string_view(w.text))
                     .bind(3, base::byte_view(w.record))
                     .run());
    return write_outcome{};
}

base::result<write_outcome> store::impl::carry_out(const append_note& w) {
    TEQUIO_TRY(const auto content, parse_entry_note(w.note));
    TEQUIO_CHECK(belongs_here(content));
    const auto c = columns_of(content);
    // A receipt may follow an unanswered note; an unanswered note never follows a receipt.
    for (const auto& k : {*c.key, *c.receipt_key}) {
        TEQUIO_TRY(auto standing, find_entry(k));
        if (standing) return std::move(*standing);
    }
    const base::entry_index index{tree_.size()};
    TEQUIO_CHECK(insert(w.note, c));
    TEQUIO_CHECK(delete_offer_.bind(1, c.receipt_key->view()).run());
    return write_outcome{write_outcome::kind::written, index, {}};
}

base::result<std::vector<write_outcome>> store::impl::carry_out_all(
    std::span<const store_write> writes) {
    std::vector<write_outcome> out;
    const auto size_before = tree_.size();
    for (const auto& w : writes) {
        TEQUIO_TRY(auto outcome, std::visit([&](const auto& x) { return carry_out(x); }, w));
        out.push_back(std::move(outcome));
    }
    if (tree_.size() != size_before) TEQUIO_CHECK(sign_head());
    return out;
}

base::result<std::vector<write_outcome>> store::impl::commit(std::span<const store_write> writes) {
    if (broken_) {
        return base::fail(errc::storage_failed,
                          "the ledger was closed after an earlier failure to write");
    }
    if (writes.empty()) return std::vector<write_outcome>();
    const auto tree = tree_;
    const auto last = last_;
    const auto head = head_;
    TEQUIO_CHECK(db_.run("BEGIN IMMEDIATE"));
    auto out = carry_out_all(writes);
    auto done = out ? db_.run("COMMIT") : base::result<void>(out.error());
    if (!done) {
        tree_ = tree;
        last_ = last;
        head_ = head;
        // After a failed COMMIT nobody can say what is on disk: a restart finds out.
        broken_ = !done.error().is(errc::bad_receipt);
        if (!db_.run("ROLLBACK")) broken_ = true;
        return done.error();
    }
    if (head_ != head) {
        // After the commit, so that the file is never ahead of the entries.
        if (auto replaced = replace_file(head_path(path_), head_); !replaced) {
            broken_ = true;
            return replaced.error();
        }
    }
    return out;
}

base::result<std::vector<open_offer>> store::impl::open_offers() {
    TEQUIO_TRY(auto rows, db_.prepare("SELECT text, record FROM offer ORDER BY key"));
    std::vector<open_offer> out;
    for (;;) {
        TEQUIO_TRY(const bool row, rows.step());
        if (!row) return out;
        const auto record = rows.bytes(1);
        out.push_back({std::string(rows.text(0)), base::byte_vector(record.begin(), record.end())});
    }
}

store::store(std::unique_ptr<impl> i) : impl_(std::move(i)) {}
store::~store() = default;

base::result<std::unique_ptr<store>> store::open(const std::string& path, store_owner owner,
                                                 base::unix_time now) {
    base::ensure(owner.log_key && owner.log_key->public_part() == owner.certificate.key &&
                     log_key_verifies(owner.node, owner.certificate),
                 "a ledger is written with a certified log key");
    TEQUIO_TRY(auto lock, file_lock::take(path + ".lock"));
    TEQUIO_TRY(auto db, database::open(path, open_mode::read_write));
    TEQUIO_CHECK(db.run("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"));
    TEQUIO_TRY(const auto tables, db.number("SELECT count(*) FROM sqlite_schema"));
    if (tables != 0) TEQUIO_CHECK(check_format(db, path));
    auto i = std::make_unique<impl>(path, std::move(owner), std::move(lock), std::move(db));
    if (tables == 0) {
        TEQUIO_TRY(const auto old_head, read_file(head_path(path), head_size_max_bytes));
        // A head without entries is a ledger that lost its database: starting anew would fork it.
        if (!old_head.empty()) {
            return damaged(path, "the database is gone or empty, but " + head_path(path) +
                                     " says that entries were signed");
        }
        TEQUIO_CHECK(i->create(now));
    } else {
        TEQUIO_CHECK(i->load());
    }
    return std::unique_ptr<store>(new store(std::move(i)));
}

base::result<std::vector<write_outcome>> store::commit(std::span<const store_write> writes) {
    return impl_->commit(writes);
}

base::result<std::vector<open_offer>> store::open_offers() {
    return impl_->open_offers();
}

std::uint64_t store::size() const {
    return impl_->size();
}

const std::string& store::head() const {
    return impl_->head();
}

}  // namespace tequio::ledger
