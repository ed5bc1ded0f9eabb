#include "ledger/entry.hpp"

#include <bit>

#include "base/sha256.hpp"
#include "base/text.hpp"
#include "ledger/core/note_lines.hpp"

namespace tequio::ledger {
namespace {

base::result<opening_note> verify_opening(const base::signed_note& note) {
    TEQUIO_TRY(const auto o, parse_opening(note.text));
    const base::note_key key{std::string(log_name), o.log_key.key};
    if (note.signatures.size() != 1 || !note.verify(key)) {
        return base::fail(errc::bad_signature, "an opening is signed by its log key alone");
    }
    if (!log_key_verifies(o.node, o.log_key)) {
        return base::fail(errc::bad_signature, "the log key is not certified by the root key");
    }
    return o;
}

}  // namespace

std::string entry::bytes() const {
    return "tequio/entry/v1\nindex " + std::to_string(index.value) + "\nprev " + prev.hex() +
           "\n\n" + note;
}

base::result<entry> parse_entry(std::string_view bytes) {
    note_lines in(bytes);
    entry e;
    in.expect("tequio/entry/v1");
    e.index = {in.number("index")};
    e.prev = in.id<base::digest>("prev");
    in.expect("");
    if (in.failure()) return *in.failure();
    if (in.rest().size() > entry_note_max_bytes)
        return bad_receipt("an entry's note above its cap");
    e.note = in.rest();
    return e;
}

std::string opening_text(const opening_note& o) {
    return "tequio/ledger/v1\nnode " + o.node.hex() + "\nlog-key " + o.log_key.text() +
           "\ncreated " + base::to_rfc3339(o.created) + "\n";
}

base::result<opening_note> parse_opening(std::string_view text) {
    note_lines in(text);
    opening_note o;
    in.expect("tequio/ledger/v1");
    o.node = in.id<base::node_id>("node");
    o.log_key = in.key("log-key");
    o.created = in.time("created");
    if (in.failure()) return *in.failure();
    if (!in.at_end()) return bad_receipt("bytes after the last line");
    return o;
}

namespace {

base::result<base::signed_note> parse_note(std::string_view text) {
    if (text.size() > entry_note_max_bytes) return bad_receipt("an entry's note above its cap");
    auto note = base::parse_signed_note(text);
    if (!note) return bad_receipt(note.error().message());
    if (note->encode() != text) return bad_receipt("not the canonical form of a signed note");
    return note;
}

}  // namespace

base::result<entry_content> parse_entry_note(std::string_view text) {
    TEQUIO_TRY(const auto note, parse_note(text));
    if (note.text.starts_with("tequio/receipt/")) {
        TEQUIO_TRY(auto r, parse_receipt(note.text));
        const std::size_t wanted = (r.worker_key ? 1 : 0) + (r.checker_key ? 1 : 0);
        if (note.signatures.size() != wanted)
            return bad_receipt("a receipt that is not signed by all");
        return entry_content(std::move(r));
    }
    if (note.signatures.size() != 1)
        return bad_receipt("a note that one side signs, by another number");
    if (note.text.starts_with("tequio/unanswered/")) {
        TEQUIO_TRY(auto n, parse_unanswered(note.text));
        return entry_content(std::move(n));
    }
    TEQUIO_TRY(auto o, parse_opening(note.text));
    return entry_content(std::move(o));
}

base::result<entry_content> verify_entry_note(std::string_view text) {
    TEQUIO_TRY(const auto note, parse_note(text));
    if (note.text.starts_with("tequio/receipt/")) {
        TEQUIO_TRY(auto r, verify_receipt(note, signatures_wanted::all));
        return entry_content(std::move(r));
    }
    if (note.text.starts_with("tequio/unanswered/")) {
        TEQUIO_TRY(auto n, verify_unanswered(note));
        return entry_content(std::move(n));
    }
    TEQUIO_TRY(auto o, verify_opening(note));
    return entry_content(std::move(o));
}

std::string checkpoint_origin(const base::node_id& node) {
    return "tequio/log/" + node.hex();
}

std::string checkpoint_text(const checkpoint& c) {
    return c.origin + "\n" + std::to_string(c.size) + "\n" + base::to_base64(c.root.view()) + "\n";
}

base::result<checkpoint> parse_checkpoint(std::string_view text) {
    const auto lines = base::split(text, '\n');
    if (lines.size() != 4 || lines[0].empty() || !lines[3].empty()) {
        return bad_receipt("a checkpoint has three lines: origin, size, root");
    }
    const auto size = base::parse_u64(lines[1]);
    if (!size) return bad_receipt("a checkpoint's size is a decimal number");
    const auto bytes = base::from_base64(lines[2]);
    if (!bytes || bytes->size() != 32)
        return bad_receipt("a checkpoint's root is base64 of 32 bytes");
    checkpoint c{std::string(lines[0]), *size, {}};
    std::copy(bytes->begin(), bytes->end(), c.root.bytes.begin());
    return c;
}

void growing_tree::add(const base::digest& leaf) {
    auto node = leaf;
    // Adding a leaf is a binary increment: each trailing one of the size is a full tree to join.
    for (auto n = size_; (n & 1) != 0; n >>= 1) {
        node = base::merkle_node(edge_.back(), node);
        edge_.pop_back();
    }
    edge_.push_back(node);
    ++size_;
}

base::digest growing_tree::root() const {
    if (edge_.empty()) return base::merkle_root({});
    auto root = edge_.back();
    for (auto i = edge_.size() - 1; i > 0; --i) root = base::merkle_node(edge_[i - 1], root);
    return root;
}

}  // namespace tequio::ledger
