#include "base/ensure.hpp"
#include "base/text.hpp"
#include "ledger/core/note_lines.hpp"
#include "ledger/receipt.hpp"

namespace tequio::ledger {
namespace {

constexpr std::string_view header = "tequio/unanswered/v1";
constexpr std::string_view quote = "> ";

/// Base64 makes 4 characters of 3 bytes; the rest are our own lines.
constexpr std::size_t text_size_max_bytes =
    record_size_max_bytes / 3 * 4 + 2 * receipt_size_max_bytes;

}  // namespace

std::string unanswered_text(const unanswered_note& n) {
    base::ensure(n.record.size() <= record_size_max_bytes, "a round record within its cap");
    std::string out(header);
    out += "\nreason ";
    out += n.reason == unanswered_note::reason_code::silent ? "silent" : "refused";
    out += "\ntime " + base::to_rfc3339(n.time) + "\nrecord " +
           (n.record.empty() ? "-" : base::to_base64(n.record)) + "\n";
    const auto offered = receipt_text(n.offered, receipt_form::quoted);
    auto lines = base::split(offered, '\n');
    lines.pop_back();  // what follows the last newline
    for (const auto line : lines) out += std::string(quote) + std::string(line) + "\n";
    return out;
}

base::result<unanswered_note> parse_unanswered(std::string_view text) {
    if (text.size() > text_size_max_bytes) return bad_receipt("an unanswered note above its cap");
    note_lines in(text);
    unanswered_note n;
    in.expect(header);
    const auto reason = in.field("reason");
    if (reason == "refused") {
        n.reason = unanswered_note::reason_code::refused;
    } else if (reason != "silent") {
        in.refuse("reason", reason, "silent, refused");
    }
    n.time = in.time("time");
    const auto record = in.optional_field("record");
    if (in.failure()) return *in.failure();
    if (record) {
        auto bytes = base::from_base64(*record);
        if (!bytes || bytes->empty() || bytes->size() > record_size_max_bytes) {
            return bad_receipt("record: not base64 of at most " +
                               std::to_string(record_size_max_bytes) + " bytes");
        }
        n.record = std::move(*bytes);
    }
    std::string inner;
    auto rest = in.rest();
    while (!rest.empty()) {
        const auto end = rest.find('\n');
        if (end == std::string_view::npos || !rest.starts_with(quote)) {
            return bad_receipt("the offered receipt stands in lines that begin with \"> \"");
        }
        inner += rest.substr(quote.size(), end + 1 - quote.size());
        rest.remove_prefix(end + 1);
    }
    TEQUIO_TRY(n.offered, parse_receipt(inner, receipt_form::quoted));
    if (unanswered_text(n) != text) return bad_receipt("not the canonical text of this note");
    return n;
}

base::result<unanswered_note> verify_unanswered(const base::signed_note& note) {
    TEQUIO_TRY(const auto n, parse_unanswered(note.text));
    const base::note_key key{std::string(checker_name), n.offered.checker_key->key};
    if (note.signatures.size() != 1 || note.signatures[0].name != key.name) {
        return base::fail(errc::bad_signature, "an unanswered note is signed by the checker alone");
    }
    if (!log_key_verifies(*n.offered.facts.checker, *n.offered.checker_key) ||
        (n.offered.worker_key &&
         !log_key_verifies(n.offered.facts.worker, *n.offered.worker_key))) {
        return base::fail(errc::bad_signature, "a log key is not certified by its root key");
    }
    const auto verified = note.verify(key);
    if (!verified) return base::fail(errc::bad_signature, verified.error().message());
    return n;
}

}  // namespace tequio::ledger
