// Whatever single thing an outsider changes in the file of a ledger, the auditor finds it and names
// the entry.

#include <sqlite3.h>

#include <functional>

#include "base/rng.hpp"
#include "ledger/show.hpp"
#include "ledger/verify.hpp"
#include "tests/property/ledger/seed.hpp"
#include "tests/unit/ledger/fixture.hpp"

using namespace tequio;
using namespace tequio::ledger;
using namespace tequio::ledger::testing;

namespace {

namespace fs = std::filesystem;

/// A raw connection that has dropped the triggers.
class outsider {
public:
    explicit outsider(const std::string& path) {
        BOOST_REQUIRE(sqlite3_open(path.c_str(), &db_) == SQLITE_OK);
        run("DROP TRIGGER entry_never_changes; DROP TRIGGER entry_never_goes;");
    }
    ~outsider() { sqlite3_close(db_); }
    void run(const std::string& sql) {
        char* message = nullptr;
        sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, &message);
        BOOST_REQUIRE_MESSAGE(!message, sql << ": " << message);
    }
    /// One value of one entry, as bytes.
    std::string get(const std::string& column, std::uint64_t entry) {
        return one("SELECT " + column + " FROM entry WHERE idx = " + std::to_string(entry));
    }
    std::string one(const std::string& sql) {
        sqlite3_stmt* s = nullptr;
        BOOST_REQUIRE(sqlite3_prepare_v2(db_, sql.c_str(), -1, &s, nullptr) == SQLITE_OK);
        BOOST_REQUIRE(sqlite3_step(s) == SQLITE_ROW);
        const auto* data = static_cast<const char*>(sqlite3_column_blob(s, 0));
        std::string out(data, static_cast<std::size_t>(sqlite3_column_bytes(s, 0)));
        sqlite3_finalize(s);
        return out;
    }
    void set(const std::string& table, const std::string& column, std::uint64_t entry,
             const std::string& value, bool text) {
        const auto hex = base::to_hex(base::as_bytes(value));
        run("UPDATE " + table + " SET " + column + " = " +
            (text ? "CAST(x'" + hex + "' AS TEXT)" : "x'" + hex + "'") + " WHERE " +
            (table == "head" ? "id" : "idx") + " = " + std::to_string(entry));
    }

private:
    sqlite3* db_ = nullptr;
};

std::string flipped(std::string value, base::rng& random) {
    value[random.below(value.size())] ^= static_cast<char>(1 + random.below(255));
    return value;
}

/// A ledger of `size` entries of every kind, in random batches. Its statements are all different.
void make_ledger(const std::string& path, std::uint64_t size, base::rng& random) {
    auto s = store::open(path, alice.owner(), noon);
    BOOST_REQUIRE(s);
    std::vector<store_write> batch;
    for (std::uint64_t lane = 1; lane < size; ++lane) {
        std::string note;
        switch (random.below(4)) {
            case 0:
                note = signed_receipt(lane_facts(alice, bob, 0, lane), alice, bob).encode();
                break;
            case 1:
                note = signed_receipt(lane_facts(bob, alice, 0, lane), bob, alice).encode();
                break;
            case 2:
                note = signed_receipt(unchecked_facts(alice, 0, lane), alice, bob).encode();
                break;
            default:
                note = signed_unanswered(lane_facts(bob, alice, 0, lane), bob, alice).encode();
        }
        batch.push_back(append_note{note});
        if (random.below(4) == 0 || lane + 1 == size) {
            BOOST_REQUIRE((*s)->commit(batch));
            batch.clear();
        }
    }
}

constexpr std::uint64_t the_head = ~std::uint64_t{0};

struct mutation {
    const char* name;
    /// Spoils the ledger of `n` entries somewhere; gives the entry that must be named.
    std::function<std::uint64_t(outsider&, std::uint64_t n, base::rng&)> apply;
};

std::uint64_t flip_column(outsider& db, std::uint64_t n, base::rng& r, const std::string& column,
                          std::uint64_t first) {
    const auto i = first + r.below(n - first);
    db.set("entry", column, i, flipped(db.get(column, i), r), column == "note");
    return i;
}

std::uint64_t cut_renumbering(outsider& db, std::uint64_t n, base::rng& r) {
    const auto i = r.below(n);
    db.run("DELETE FROM entry WHERE idx = " + std::to_string(i));
    for (auto j = i + 1; j < n; ++j) {
        db.run("UPDATE entry SET idx = " + std::to_string(j - 1) +
               " WHERE idx = " + std::to_string(j));
    }
    return i;
}

std::uint64_t swap_rows(outsider& db, std::uint64_t n, base::rng& r) {
    const auto i = r.below(n - 1);
    const auto j = i + 1 + r.below(n - i - 1);
    db.run("UPDATE entry SET idx = -1 WHERE idx = " + std::to_string(i));
    db.run("UPDATE entry SET idx = " + std::to_string(i) + " WHERE idx = " + std::to_string(j));
    db.run("UPDATE entry SET idx = " + std::to_string(j) + " WHERE idx = -1");
    return i;
}

std::uint64_t swap_notes(outsider& db, std::uint64_t n, base::rng& r) {
    const auto i = r.below(n - 1);
    const auto j = i + 1 + r.below(n - i - 1);
    const auto a = db.get("note", i), b = db.get("note", j);
    db.set("entry", "note", i, b, true);
    db.set("entry", "note", j, a, true);
    return i;
}

/// Appends a copy of an entry, chained and hashed as the writer would.
std::uint64_t repeat_at_end(outsider& db, std::uint64_t n, base::rng& r) {
    const auto i = 1 + r.below(n - 1);
    const entry last{{n - 1},
                     *base::id_from_bytes<base::digest>(base::as_bytes(db.get("prev", n - 1))),
                     db.get("note", n - 1)};
    const entry copy{{n}, base::sha256(last.bytes()), db.get("note", i)};
    const auto leaf = base::merkle_leaf(base::as_bytes(copy.bytes()));
    db.run("INSERT INTO entry SELECT " + std::to_string(n) + ", x'" + copy.prev.hex() + "', x'" +
           leaf.hex() +
           "', NULL, task, round, lane, note FROM entry WHERE idx = " + std::to_string(i));
    return n;
}

/// The owner puts another receipt, well signed and hashed, in the place of an old one.
std::uint64_t replace_resigned(outsider& db, std::uint64_t n, base::rng& r) {
    const auto i = 1 + r.below(n - 1);
    const auto facts = unchecked_facts(alice, 9, 1000);
    const entry e{{i},
                  *base::id_from_bytes<base::digest>(base::as_bytes(db.get("prev", i))),
                  signed_receipt(facts, alice, bob).encode()};
    const auto leaf = base::merkle_leaf(base::as_bytes(e.bytes()));
    const auto key = statement_key(statement::receipt, facts);
    db.set("entry", "note", i, e.note, true);
    db.run("UPDATE entry SET leaf = x'" + leaf.hex() + "', key = x'" + key.hex() +
           "', round = 9, lane = 1000 WHERE idx = " + std::to_string(i));
    // The last entry has none after it: then only the head disagrees.
    return i + 1 == n ? the_head : i;
}

const std::vector<mutation>& mutations() {
    static const std::vector<mutation> all{
        {"flip a byte of a note", [](outsider& db, std::uint64_t n,
                                     base::rng& r) { return flip_column(db, n, r, "note", 0); }},
        {"flip a byte of prev", [](outsider& db, std::uint64_t n,
                                   base::rng& r) { return flip_column(db, n, r, "prev", 0); }},
        {"flip a byte of leaf", [](outsider& db, std::uint64_t n,
                                   base::rng& r) { return flip_column(db, n, r, "leaf", 0); }},
        {"flip a byte of key", [](outsider& db, std::uint64_t n,
                                  base::rng& r) { return flip_column(db, n, r, "key", 1); }},
        {"flip a byte of task", [](outsider& db, std::uint64_t n,
                                   base::rng& r) { return flip_column(db, n, r, "task", 1); }},
        {"index under another lane",
         [](outsider& db, std::uint64_t n, base::rng& r) {
             const auto i = 1 + r.below(n - 1);
             db.run("UPDATE entry SET lane = lane + 1 WHERE idx = " + std::to_string(i));
             return i;
         }},
        {"delete one",
         [](outsider& db, std::uint64_t n, base::rng& r) {
             const auto i = r.below(n);
             db.run("DELETE FROM entry WHERE idx = " + std::to_string(i));
             return i;
         }},
        {"delete one and renumber", cut_renumbering},
        {"cut off the end",
         [](outsider& db, std::uint64_t n, base::rng& r) {
             const auto i = r.below(n);
             db.run("DELETE FROM entry WHERE idx >= " + std::to_string(i));
             return i;
         }},
        {"swap two rows", swap_rows},
        {"swap two notes", swap_notes},
        {"repeat an entry at the end", repeat_at_end},
        {"replace an entry by another well-signed one", replace_resigned},
        {"flip a byte of the head",
         [](outsider& db, std::uint64_t, base::rng& r) {
             db.set("head", "note", 1, flipped(db.one("SELECT note FROM head"), r), true);
             return the_head;
         }},
    };
    return all;
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_single_change_is_found_and_its_entry_named) {
    base::rng random(run_seed());
    const scratch_folder folder;
    const auto original = folder.file("original.db");
    const std::uint64_t n = 3 + random.below(12);
    make_ledger(original, n, random);
    BOOST_REQUIRE(verify_store(original)->ok());
    for (const auto& m : mutations()) {
        for (int i = 0; i < 12; ++i) {
            const auto path = folder.file("spoiled.db");
            for (const auto* end : {"", ".head"}) {
                fs::copy_file(original + end, path + end, fs::copy_options::overwrite_existing);
            }
            std::uint64_t expected = 0;
            {
                outsider db(path);
                expected = m.apply(db, n, random);
            }
            BOOST_TEST_CONTEXT(m.name << ", " << n << " entries, entry " << expected << ", seed "
                                      << run_seed()) {
                const auto report = verify_store(path);
                BOOST_REQUIRE_MESSAGE(report, report.error().message());
                BOOST_REQUIRE(!report->ok());
                const auto& named = report->faults[0].entry;
                BOOST_TEST((named ? named->value : the_head) == expected, report_text(*report));
            }
            for (const auto* end : {"", ".head", "-wal", "-shm"}) fs::remove(path + end);
        }
    }
}
