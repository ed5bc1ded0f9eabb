#include "ledger/receipt.hpp"

#include <array>

#include "base/ensure.hpp"
#include "base/sha256.hpp"
#include "ledger/core/note_lines.hpp"

namespace tequio::ledger {
namespace {

constexpr std::string_view receipt_header = "tequio/receipt/v1";
constexpr std::array<std::string_view, 4> kind_names{"lane", "validation", "merge", "check"};
constexpr std::array<std::string_view, 5> verdict_names{"matched", "refuted", "unchecked",
                                                        "unanswered", "refused"};

template <class Enum, std::size_t N>
Enum parse_name(note_lines& in, std::string_view field,
                const std::array<std::string_view, N>& names) {
    const auto value = in.field(field);
    std::string allowed;
    for (std::size_t i = 0; i < N; ++i) {
        if (names[i] == value) return static_cast<Enum>(i + 1);
        allowed += (i ? ", " : "") + std::string(names[i]);
    }
    in.refuse(field, value, allowed);
    return static_cast<Enum>(1);
}

template <class T>
std::string or_dash(const std::optional<T>& value) {
    if constexpr (requires { value->hex(); }) {
        return value ? value->hex() : "-";
    } else if constexpr (requires { value->text(); }) {
        return value ? value->text() : "-";
    } else if constexpr (requires { value->value; }) {
        return value ? std::to_string(value->value) : "-";
    } else {
        return value ? std::to_string(*value) : "-";
    }
}

/// The lines that name a piece of work, in the order of the receipt.
std::string work_lines(const receipt_facts& f) {
    return "round " + std::to_string(f.round.value) + "\nlane " + or_dash(f.lane) + "\nslice " +
           or_dash(f.slice) + "\nworker " + f.worker.hex() + "\nchecker " + or_dash(f.checker) +
           "\n";
}

struct signer {
    std::string_view name;
    base::node_id node;
    certified_key key;
};

base::result<void> verify_signers(const base::signed_note& note, std::span<const signer> signers) {
    if (note.signatures.size() != signers.size()) {
        return base::fail(errc::bad_signature, "a receipt with " +
                                                   std::to_string(note.signatures.size()) +
                                                   " signatures; its verdict asks for " +
                                                   std::to_string(signers.size()));
    }
    for (std::size_t i = 0; i < signers.size(); ++i) {
        const auto& s = signers[i];
        const base::note_key key{std::string(s.name), s.key.key};
        if (note.signatures[i].name != key.name || note.signatures[i].key_id != key.key_id()) {
            return base::fail(errc::bad_signature, "signature " + std::to_string(i + 1) +
                                                       " is not " + key.name +
                                                       " by the key in the receipt");
        }
        if (!log_key_verifies(s.node, s.key)) {
            return base::fail(errc::bad_signature, "the log key of " + s.node.brief() +
                                                       " is not certified by its root key");
        }
        const auto verified = note.verify(key);
        if (!verified) return base::fail(errc::bad_signature, verified.error().message());
    }
    return {};
}

}  // namespace

std::string_view name_of(receipt_kind kind) {
    return kind_names.at(static_cast<std::size_t>(kind) - 1);
}

std::string_view name_of(receipt_verdict verdict) {
    return verdict_names.at(static_cast<std::size_t>(verdict) - 1);
}

base::result<void> check_form(const receipt& r, receipt_form form) {
    const auto& f = r.facts;
    const bool has_lane = f.kind == receipt_kind::lane || f.kind == receipt_kind::check;
    if (has_lane != f.lane.has_value()) {
        return bad_receipt("lane: given for lane and check, \"-\" for validation and merge");
    }
    if (!has_lane && f.slice) return bad_receipt("slice: only a lane has slices");
    if (f.checker == f.worker) return bad_receipt("checker: nobody checks their own work");
    const bool both =
        f.verdict == receipt_verdict::matched || f.verdict == receipt_verdict::refuted;
    const bool worker_signs = both || f.verdict == receipt_verdict::unchecked;
    const bool checker_signs = f.verdict != receipt_verdict::unchecked;
    const std::string with = "with verdict " + std::string(name_of(f.verdict));
    if (checker_signs != f.checker.has_value()) {
        return bad_receipt("checker: " + std::string(checker_signs ? "missing " : "\"-\" ") + with);
    }
    if (form == receipt_form::quoted && !both) {
        return bad_receipt("verdict: only what both sides sign is offered");
    }
    if (form == receipt_form::own && worker_signs != r.worker_key.has_value()) {
        return bad_receipt("worker-key: " + std::string(worker_signs ? "missing " : "\"-\" ") +
                           with);
    }
    if (checker_signs != r.checker_key.has_value()) {
        return bad_receipt("checker-key: " + std::string(checker_signs ? "missing " : "\"-\" ") +
                           with);
    }
    return {};
}

std::string receipt_text(const receipt& r, receipt_form form) {
    base::ensure(check_form(r, form).has_value(), "only a receipt in form is written");
    const auto& f = r.facts;
    std::string out;
    out.reserve(1200);
    out += std::string(receipt_header) + "\nkind " + std::string(name_of(f.kind)) + "\nswarm " +
           (f.swarm.is_zero() ? "-" : f.swarm.hex()) + "\ntask " + f.task.hex() + "\nrecipe " +
           f.recipe.hex() + "\n" + work_lines(f);
    out += "state " + f.state.hex() + "\ncontribution " + f.contribution.hex() + "\ntokens " +
           std::to_string(f.tokens) + "\nflops " + std::to_string(f.flops) + "\nverdict " +
           std::string(name_of(f.verdict)) + "\ntime " + base::to_rfc3339(r.time) +
           "\nworker-key " + or_dash(r.worker_key) + "\nchecker-key " + or_dash(r.checker_key) +
           "\n";
    return out;
}

base::result<receipt> parse_receipt(std::string_view text, receipt_form form) {
    if (text.size() > receipt_size_max_bytes) {
        return bad_receipt("a receipt of " + std::to_string(text.size()) + " bytes; at most " +
                           std::to_string(receipt_size_max_bytes));
    }
    note_lines in(text);
    receipt r;
    auto& f = r.facts;
    in.expect(receipt_header);
    f.kind = parse_name<receipt_kind>(in, "kind", kind_names);
    f.swarm = in.optional_id<base::swarm_id>("swarm").value_or(base::swarm_id{});
    f.task = in.id<base::task_id>("task");
    f.recipe = in.id<base::recipe_id>("recipe");
    f.round = {in.number("round")};
    if (const auto lane = in.optional_number("lane")) f.lane = base::lane_index{*lane};
    f.slice = in.optional_number("slice");
    f.worker = in.id<base::node_id>("worker");
    f.checker = in.optional_id<base::node_id>("checker");
    f.state = in.id<base::digest>("state");
    f.contribution = in.id<base::digest>("contribution");
    f.tokens = in.number("tokens");
    f.flops = in.number("flops");
    f.verdict = parse_name<receipt_verdict>(in, "verdict", verdict_names);
    r.time = in.time("time");
    r.worker_key = in.optional_key("worker-key");
    r.checker_key = in.optional_key("checker-key");
    if (in.failure()) return *in.failure();
    if (!in.at_end()) return bad_receipt("bytes after the last line");
    TEQUIO_CHECK(check_form(r, form));
    // One text for one receipt, whatever the parsers above let through.
    if (receipt_text(r, form) != text) return bad_receipt("not the canonical text of this receipt");
    return r;
}

base::result<receipt> verify_receipt(const base::signed_note& note, signatures_wanted wanted) {
    TEQUIO_TRY(const auto r, parse_receipt(note.text));
    std::vector<signer> signers;
    if (r.worker_key && wanted == signatures_wanted::all) {
        signers.push_back({worker_name, r.facts.worker, *r.worker_key});
    }
    if (r.checker_key) signers.push_back({checker_name, *r.facts.checker, *r.checker_key});
    if (wanted == signatures_wanted::drafter && !(r.worker_key && r.checker_key)) {
        return bad_receipt("only a receipt that both sides sign is offered");
    }
    TEQUIO_CHECK(verify_signers(note, signers));
    return r;
}

base::digest statement_key(statement s, const receipt_facts& f) {
    return base::sha256(
        std::string(s == statement::receipt ? receipt_header : "tequio/unanswered/v1") + "\nkind " +
        std::string(name_of(f.kind)) + "\ntask " + f.task.hex() + "\n" + work_lines(f));
}

}  // namespace tequio::ledger
