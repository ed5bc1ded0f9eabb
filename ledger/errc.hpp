#pragma once

/// What the ledger can refuse.

#include "base/result.hpp"

namespace tequio::ledger {

/// Codes of this library; the sentence of the error says more.
enum class errc {
    bad_receipt = 1,  ///< a receipt, certificate or opening note that is not in its one form
    bad_signature,    ///< a signature or key certificate that does not verify
    bad_message,      ///< a co-signing message that no honest node sends
    conflict,         ///< another text was signed for the same piece of work
    full,             ///< a limit of the configuration is reached
    newer_version,    ///< the file was written by a newer program
    wrong_owner,      ///< the ledger belongs to another node
    damaged,          ///< the store contradicts itself; run `tequio ledger verify`
    not_found,        ///< no ledger at that path
    locked,           ///< another process writes this ledger
    storage_failed,   ///< SQLite or the operating system refused; the sentence says why
};

boost::system::error_code make_error_code(errc e);

}  // namespace tequio::ledger

namespace boost::system {
template <>
struct is_error_code_enum<tequio::ledger::errc> : std::true_type {};
}  // namespace boost::system
