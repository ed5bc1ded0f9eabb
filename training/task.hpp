#pragma once

/// A task: a recipe and who wants it, for whom, until when. A signed note of plain text; pure data,
/// never code, never an address to connect to. DESIGN.md sections 2 and 8.
///
/// Text: `tequio/task/v1`, then lines `key value` in the order of `struct task`, then the recipe's
/// canonical text verbatim. The task's id is the SHA-256 of this text: signature lines can be added
/// by anyone and change nothing.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/signed_note.hpp"
#include "base/time.hpp"
#include "training/recipe.hpp"

namespace tequio::training {

/// Whole note, signatures included. A recipe needs about 1 KiB; a list of 256 accepted nodes 16
/// KiB.
inline constexpr std::size_t task_size_max_bytes = 64 * 1024;
inline constexpr std::size_t task_name_max_bytes = 64;
inline constexpr std::size_t task_purpose_max_bytes = 1024;
inline constexpr std::size_t task_license_max_bytes = 128;
inline constexpr std::size_t task_accept_max = 256;
/// Tokenizers of 2024's largest vocabularies take about 20 MiB.
inline constexpr std::uint64_t task_companion_size_max_bytes = std::uint64_t{64} << 20;
/// A task lives at most this long (guess: longer jobs are extended).
inline constexpr std::int64_t task_life_max_seconds = 366LL * 24 * 3600;
/// How far ahead of this node's clock a task may have been made.
inline constexpr std::int64_t task_clock_skew_max_seconds = 15 * 60;

/// Name under which submitters sign tasks and cancellations.
inline constexpr std::string_view submitter_name = "tequio/submitter";

/// How much is checked, and by whom.
struct trust_config {
    double check = 0.05;  ///< least share of lanes recomputed by another node, 0..1
    std::uint64_t settle = 3;
    std::uint64_t crew_min = 1;
    std::uint64_t crew_max = 64;
    std::vector<base::node_id> accept;  ///< ascending; empty: any member of the swarm
    bool operator==(const trust_config&) const = default;
};

/// What members keep, and how long.
struct keep_config {
    std::uint64_t copies = 3;
    std::uint64_t state_every = 10;  ///< rounds
    std::uint64_t days = 30;
    bool operator==(const keep_config&) const = default;
};

/// A recipe and who wants it. Every field is bounded by `check_task`.
struct task {
    std::string name;               ///< 1..64 bytes of printable UTF-8
    std::string purpose;            ///< for people; may be empty
    std::string data_license;       ///< SPDX expression, as declared
    std::string model_license;      ///< SPDX expression
    std::string base_license;       ///< of the weights started from; empty: they are drawn
    std::string readers = "swarm";  ///< swarm | everyone
    base::swarm_id swarm;           ///< zero: the nameless swarm of loopback peers
    base::public_key submitter;
    base::unix_time created;
    base::unix_time deadline;
    std::string nonce;      ///< 32 hex digits
    std::string exactness;  ///< identity of the arithmetic: profile, ':', 64 hex digits
    /// A file that belongs into the trained model's folder and determines no bit: the
    /// tokenizer.json of a language model. 1 byte to `task_companion_size_max_bytes`.
    std::optional<base::blob_ref> companion;
    trust_config trust;
    keep_config keep;
    recipe work;
    bool operator==(const task&) const = default;
};

/// The canonical text; any task has one, only a valid one parses back.
std::string task_text(const task& t);
/// Checks every field against its bounds. Errors: `errc::bad_task`, or those of `check_recipe`.
base::result<void> check_task(const task& t);
base::task_id task_id_of(const task& t);
/// The blobs that a node must hold before it takes part: those of the recipe, then the companion.
std::vector<base::blob_ref> task_blobs(const task& t);
/// Their sizes in sum.
std::uint64_t task_blob_bytes(const task& t);
base::task_id task_id_of(const base::signed_note& note);
/// The note of `t`, signed. Errors as `check_task`; ensures that `submitter` is the key in `t`.
base::result<base::signed_note> sign_task(const task& t, const base::signing_key& submitter);

/// Strict: a note whose text is canonical and which its submitter signed. Other signatures are
/// ignored. Errors: `errc::bad_task`, `errc::task_too_large`, `errc::task_unsigned`, or those of
/// `parse_recipe`. Safe on any input.
base::result<task> parse_task(const base::signed_note& note);
/// The same from the note's bytes.
base::result<task> parse_task(std::string_view note);

/// What a node knows when a task arrives.
struct task_circumstances {
    base::unix_time now;
    base::swarm_id swarm;   ///< of the connection it came by
    std::string exactness;  ///< this node's identity
    bool known = false;     ///< this task id was seen before
};

/// What the owner of a node wants. Defaults: everything. Source: INTERFACE.md, `accept.*`.
struct task_policy {
    std::vector<base::public_key> submitters;  ///< empty: any
    std::vector<base::public_key> blocked;
    /// Of data, model and weights started from, exact text; empty: any.
    std::vector<std::string> licenses;
    std::uint64_t max_parameters = recipe_limits::parameters;
    std::uint64_t max_data_bytes = std::uint64_t{1} << 40;  ///< of all `task_blobs` together
};

/// Whether a valid task may be taken up here and now, weighed before anything is fetched.
/// Errors, in this order: `errc::task_wrong_swarm`, `task_from_future`, `task_expired`,
/// `task_replayed`, `task_exactness`, `refused_by_policy`; each with a sentence for people.
base::result<void> task_acceptable(const task& t, const task_circumstances& here,
                                   const task_policy& policy);

/// A submitter's word that a task is no longer wanted. Text `tequio/cancel/v1`, signed likewise.
struct cancellation {
    base::task_id task;
    base::public_key submitter;
    base::unix_time created;
    std::string reason;  ///< for people; may be empty, at most task_purpose_max_bytes
    bool operator==(const cancellation&) const = default;
};

/// The canonical text of a cancellation.
std::string cancellation_text(const cancellation& c);
/// Its note. Ensures that `submitter` is the key in `c`.
base::signed_note sign_cancellation(const cancellation& c, const base::signing_key& submitter);
/// Strict, as `parse_task`. The signature is the one of the key named in the text; that this key is
/// the task's is for `cancels` to say.
base::result<cancellation> parse_cancellation(const base::signed_note& note);
/// Errors: `errc::task_unsigned` unless `c` names `t` and comes from its submitter.
base::result<void> cancels(const cancellation& c, const task& t);

}  // namespace tequio::training
