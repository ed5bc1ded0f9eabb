#pragma once

/// Receipts: signed notes on one piece of work, in lines of fixed order. A receipt proves who said
/// what; that the work was right follows from recomputing it.
///
///     tequio/receipt/v1
///     kind lane                     lane | validation | merge | check
///     swarm <64 hex>                `-`: the nameless swarm of loopback peers
///     task <64 hex>
///     recipe <64 hex>
///     round 3
///     lane 5                        `-` for validation and merge
///     slice -                       `-`: the whole lane; else what the worker had of it, from 0
///     worker <64 hex>               node that did the work
///     checker <64 hex>              node that did it again; `-`: nobody
///     state <64 hex>                state digest the work began from
///     contribution <64 hex>         digest of the result; of a slice: of the whole lane's
///     tokens 8192                   likewise
///     flops 123456                  of the slice; computed from the recipe, never claimed
///     verdict matched               matched | refuted | unchecked | unanswered | refused
///     time 2026-11-23T06:28:00Z
///     worker-key <64 hex> <base64>  log key of the worker, certified by its root key
///     checker-key <64 hex> <base64>
///
/// Who signs (names "tequio/worker", "tequio/checker", in that order, log keys):
///
/// | verdict            | checker | worker-key | checker-key | signed by        |
/// |--------------------|---------|------------|-------------|------------------|
/// | matched, refuted   | a node  | given      | given       | worker, checker  |
/// | unchecked          | `-`     | given      | `-`         | worker           |
/// | unanswered, refused| a node  | `-`        | given       | checker          |
///
/// `unanswered`: the worker did not open its commitment. `refused`: its result was not of the form
/// the task asks for. A lane that a team computed, one node a slice, has a receipt for each of
/// them: that it agreed beforehand to compute this slice of it, and what came of the lane. Which of
/// them is behind a refuted one nobody can see. Its check, computed by a team, has receipts too, of
/// kind `check`, in which the first of the one side is the checker of the other's members. There is
/// exactly one text for a receipt; every other one is refused.

#include <optional>

#include "base/time.hpp"
#include "ledger/errc.hpp"
#include "ledger/key_certificate.hpp"

namespace tequio::ledger {

/// What work was done: a lane, a validation, a merge, or a check as work of its own.
enum class receipt_kind { lane = 1, validation, merge, check };
/// What came of checking it; see the table above.
enum class receipt_verdict { matched = 1, refuted, unchecked, unanswered, refused };

/// The word in the text.
std::string_view name_of(receipt_kind kind);
std::string_view name_of(receipt_verdict verdict);

inline constexpr std::string_view worker_name = "tequio/worker";
inline constexpr std::string_view checker_name = "tequio/checker";
/// Cap on a receipt's note, signatures included (the longest valid one is below 1,700).
inline constexpr std::size_t receipt_size_max_bytes = 2048;

/// What the node that drafts a receipt knows about the work.
struct receipt_facts {
    receipt_kind kind = receipt_kind::lane;
    base::swarm_id swarm;  ///< zero: the nameless swarm
    base::task_id task;
    base::recipe_id recipe;
    base::round_index round;
    std::optional<base::lane_index> lane;
    std::optional<std::uint64_t> slice;
    base::node_id worker;
    std::optional<base::node_id> checker;
    base::digest state;
    base::digest contribution;
    std::uint64_t tokens = 0;
    std::uint64_t flops = 0;
    receipt_verdict verdict = receipt_verdict::unchecked;

    bool operator==(const receipt_facts&) const = default;
};

/// A receipt as its text says it.
struct receipt {
    receipt_facts facts;
    base::unix_time time;
    std::optional<certified_key> worker_key;
    std::optional<certified_key> checker_key;

    bool operator==(const receipt&) const = default;
};

/// Where a receipt's text stands.
enum class receipt_form {
    own,    ///< in a note of its own: the table above
    quoted  ///< inside an unanswered note: one for both to sign, worker-key `-` when unknown
};

/// Errors: `errc::bad_receipt`, naming the field, unless the table above and the kinds' lane rule
/// are kept. Looks at no signature.
base::result<void> check_form(const receipt& r, receipt_form form = receipt_form::own);

/// The one text of a receipt that `check_form` accepts; ensures that it does.
std::string receipt_text(const receipt& r, receipt_form form = receipt_form::own);
/// Strict: canonical texts only. Errors: `errc::bad_receipt`. Safe on any input.
base::result<receipt> parse_receipt(std::string_view text, receipt_form form = receipt_form::own);

/// Whose signatures a note is expected to bear.
enum class signatures_wanted {
    all,     ///< a finished receipt: everyone the table names, nobody else
    drafter  ///< an offer: the checker alone, of a receipt that both will sign
};

/// Parses a receipt and checks its key certificates and signatures: exactly the wanted ones, in
/// order. Errors: `errc::bad_receipt`, `errc::bad_signature`. Cost: two Ed25519 checks a signer.
base::result<receipt> verify_receipt(const base::signed_note& note, signatures_wanted wanted);

/// What may be said once only: one signed text for one (statement, kind, task, round, lane, slice,
/// worker, checker). SHA-256 over these.
enum class statement { receipt = 1, unanswered };
base::digest statement_key(statement s, const receipt_facts& facts);

/// The note that stands in a receipt's place when the other side did not sign:
///
///     tequio/unanswered/v1
///     reason silent                 silent | refused
///     time <time>
///     record <base64>               signed round record, opaque here; `-`: none
///     > tequio/receipt/v1           the receipt that was offered, each line after "> "
///     > ...
///
/// signed by the checker alone. A finished receipt may still follow it.
struct unanswered_note {
    enum class reason_code { silent = 1, refused };
    reason_code reason = reason_code::silent;
    base::unix_time time;
    base::byte_vector record;
    receipt offered;

    bool operator==(const unanswered_note&) const = default;
};

/// Cap on the round record inside an `unanswered_note`.
inline constexpr std::size_t record_size_max_bytes = 16 * 1024;

/// The one text of such a note; ensures that the record is within its cap.
std::string unanswered_text(const unanswered_note& n);
/// Strict, as `parse_receipt`. Errors: `errc::bad_receipt`.
base::result<unanswered_note> parse_unanswered(std::string_view text);
/// Parses and checks the checker's certificate and its one signature.
base::result<unanswered_note> verify_unanswered(const base::signed_note& note);

}  // namespace tequio::ledger
