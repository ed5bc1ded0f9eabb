#pragma once

/// Entries and reports as text for people and JSON for programs. Pure.

#include <span>

#include "ledger/verify.hpp"

namespace tequio::ledger {

/// One line an entry, aligned, with a heading; ids shortened.
std::string show_text(std::span<const entry> entries);
/// {"schema":"tequio/ledger-show/1","entries":[{"index","kind","task",...,"note"}]}
std::string show_json(std::span<const entry> entries);
/// What was checked, what was found, and what that does and does not prove.
std::string report_text(const audit_report& report);
/// {"schema":"tequio/ledger-verify/1","entries","head","ok","node","faults":[...]}
std::string report_json(const audit_report& report);

/// {"index":0,"prev":"<64 hex>","note":"..."} and a newline.
std::string export_line(const entry& e);
/// {"head":"..."} and a newline: the last line of an export.
std::string export_head_line(std::string_view head);

}  // namespace tequio::ledger
