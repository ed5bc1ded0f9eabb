#pragma once

/// The auditor: reads a finished ledger with other code than the writer's (own line reader, own
/// tree, own signature rules) and names the first entry that is wrong. It finds changed, dropped,
/// inserted and reordered entries, and a shortened end as long as one signed head survives.

#include <memory>

#include "ledger/store.hpp"

namespace tequio::ledger {

/// One thing that is wrong.
struct audit_fault {
    std::optional<base::entry_index> entry;  ///< none: the signed head itself
    std::string reason;
};

/// What an audit found.
struct audit_report {
    std::uint64_t entries = 0;
    base::digest head;   ///< RFC 6962 root over the entries as found
    base::node_id node;  ///< whose ledger it says it is; zero without a valid opening
    std::uint64_t receipts = 0, unanswered = 0;
    std::vector<audit_fault> faults;  ///< in entry order, the first 100
    bool ok() const { return faults.empty(); }
};

/// Feeds on rows in file order. Pure.
class auditor {
public:
    auditor();
    ~auditor();
    /// A row from a store, or of a text export.
    void add(const stored_row& row);
    /// The head that must cover exactly the rows, and an older or equal one kept elsewhere
    /// ("" when there is none: then a shortened end cannot be seen by it).
    audit_report finish(std::string_view head, std::string_view second_head);

private:
    class state;
    std::unique_ptr<state> state_;
};

/// Audits a ledger file. Errors: as `store_reader::open`; faults are in the report, not errors.
base::result<audit_report> verify_store(const std::string& path);
/// Audits a text export (one JSON object a line, as `export_line` writes; the head last).
/// Errors: `errc::bad_receipt` naming the line that is not of that form.
base::result<audit_report> verify_export(std::string_view text);
/// One of the two, by the file's first bytes. Errors: `errc::not_found`, and as above.
base::result<audit_report> verify_file(const std::string& path);

}  // namespace tequio::ledger
