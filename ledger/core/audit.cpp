// The auditor shares only SHA-256 and Ed25519 with the writer. Texts are taken apart by the field
// table below, trees are summed level by level, and the chain is recomputed from the rows.

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/sha256.hpp"
#include "base/signing.hpp"
#include "ledger/verify.hpp"

namespace tequio::ledger {
namespace {

constexpr std::size_t faults_max = 100;

/// How a value must look.
enum class shape { word, hex, number, time, key, base64 };

struct field_rule {
    std::string_view name;
    shape looks;
    bool may_be_dash;
};

constexpr std::array<field_rule, 17> receipt_rules{{{"kind", shape::word, false},
                                                    {"swarm", shape::hex, true},
                                                    {"task", shape::hex, false},
                                                    {"recipe", shape::hex, false},
                                                    {"round", shape::number, false},
                                                    {"lane", shape::number, true},
                                                    {"slice", shape::number, true},
                                                    {"worker", shape::hex, false},
                                                    {"checker", shape::hex, true},
                                                    {"state", shape::hex, false},
                                                    {"contribution", shape::hex, false},
                                                    {"tokens", shape::number, false},
                                                    {"flops", shape::number, false},
                                                    {"verdict", shape::word, false},
                                                    {"time", shape::time, false},
                                                    {"worker-key", shape::key, true},
                                                    {"checker-key", shape::key, true}}};
constexpr std::array<field_rule, 3> opening_rules{
    {{"node", shape::hex, false}, {"log-key", shape::key, false}, {"created", shape::time, false}}};
constexpr std::array<field_rule, 3> unanswered_rules{{{"reason", shape::word, false},
                                                      {"time", shape::time, false},
                                                      {"record", shape::base64, true}}};

bool all_in(std::string_view text, std::string_view allowed) {
    return text.find_first_not_of(allowed) == std::string_view::npos;
}

bool is_number(std::string_view v) {
    constexpr std::string_view most = "18446744073709551615";
    return !v.empty() && all_in(v, "0123456789") && (v.size() == 1 || v[0] != '0') &&
           (v.size() < most.size() || (v.size() == most.size() && v <= most));
}

bool is_time(std::string_view v) {
    if (v.size() != 20) return false;
    constexpr std::string_view pattern = "dddd-dd-ddTdd:dd:ddZ";
    for (std::size_t i = 0; i < v.size(); ++i) {
        const bool digit = v[i] >= '0' && v[i] <= '9';
        if (pattern[i] == 'd' ? !digit : v[i] != pattern[i]) return false;
    }
    const auto two = [&](std::size_t at) { return (v[at] - '0') * 10 + (v[at + 1] - '0'); };
    const int year = two(0) * 100 + two(2), month = two(5), day = two(8);
    constexpr std::array<int, 12> days{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (month < 1 || month > 12 || two(11) > 23 || two(14) > 59 || two(17) > 59) return false;
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return day >= 1 && day <= days[static_cast<std::size_t>(month - 1)] + (leap && month == 2);
}

constexpr std::string_view base64_digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes of canonical base64; nothing when it is not.
std::optional<base::byte_vector> unbase64(std::string_view v) {
    if (v.size() % 4 != 0) return std::nullopt;
    const std::size_t padding = v.ends_with("==") ? 2 : v.ends_with("=") ? 1 : 0;
    base::byte_vector out;
    std::uint32_t bits = 0;
    int held = 0;
    for (const char c : v.substr(0, v.size() - padding)) {
        const auto digit = base64_digits.find(c);
        if (digit == std::string_view::npos) return std::nullopt;
        bits = (bits << 6) | static_cast<std::uint32_t>(digit);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out.push_back(static_cast<std::uint8_t>(bits >> held));
            bits &= (1u << held) - 1;
        }
    }
    const bool whole = static_cast<std::size_t>(held) == padding * 2 && bits == 0;
    return whole ? std::optional(std::move(out)) : std::nullopt;
}

bool looks_right(std::string_view v, const field_rule& rule) {
    if (v == "-") return rule.may_be_dash;
    switch (rule.looks) {
        case shape::word:
            return !v.empty() && all_in(v, "abcdefghijklmnopqrstuvwxyz");
        case shape::hex:
            return v.size() == 64 && all_in(v, "0123456789abcdef");
        case shape::number:
            return is_number(v);
        case shape::time:
            return is_time(v);
        case shape::key: {
            if (v.size() < 66 || v[64] != ' ' || !all_in(v.substr(0, 64), "0123456789abcdef")) {
                return false;
            }
            const auto signature = unbase64(v.substr(65));
            return signature && signature->size() == 64;
        }
        case shape::base64: {
            const auto bytes = unbase64(v);
            return bytes && !bytes->empty() && bytes->size() <= record_size_max_bytes;
        }
    }
    return false;
}

using field_map = std::map<std::string_view, std::string_view>;

/// Takes `header` and the lines of `rules` from `text`, which keeps what follows. Gives the reason
/// on the first line that breaks its rule.
template <std::size_t N>
std::string take_fields(std::string_view& text, std::string_view header,
                        const std::array<field_rule, N>& rules, field_map& out) {
    const auto take = [&](std::string_view& line) {
        const auto end = text.find('\n');
        if (end == std::string_view::npos) return false;
        line = text.substr(0, end);
        text.remove_prefix(end + 1);
        return true;
    };
    std::string_view line;
    if (!take(line) || line != header) return "does not begin with " + std::string(header);
    for (const auto& rule : rules) {
        const auto name = std::string(rule.name);
        if (!take(line)) return "ends before " + name;
        if (!line.starts_with(name + " ")) return "has no " + name + " where it belongs";
        const auto value = line.substr(name.size() + 1);
        if (!looks_right(value, rule)) return "has a malformed " + name;
        out[rule.name] = value;
    }
    return {};
}

template <std::size_t N>
std::array<std::uint8_t, N> unhex(std::string_view hex) {
    std::array<std::uint8_t, N> out{};
    const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    for (std::size_t i = 0; i < N; ++i) {
        out[i] = static_cast<std::uint8_t>(digit(hex[2 * i]) * 16 + digit(hex[2 * i + 1]));
    }
    return out;
}

struct signature_line {
    std::string_view name;
    base::byte_vector key_id, signature;
};

struct raw_note {
    std::string_view text;
    std::vector<signature_line> lines;
};

/// The note's parts; a reason when it is not a note.
std::string split_note(std::string_view note, raw_note& out) {
    const auto gap = note.rfind("\n\n");
    if (gap == std::string_view::npos) return "is not a signed note";
    out.text = note.substr(0, gap + 1);
    for (const char c : out.text) {
        if (static_cast<unsigned char>(c) < 0x20 && c != '\n') return "has a control character";
    }
    auto rest = note.substr(gap + 2);
    while (!rest.empty()) {
        const auto end = rest.find('\n');
        if (end == std::string_view::npos) return "ends within a signature line";
        const auto line = rest.substr(0, end);
        rest.remove_prefix(end + 1);
        const auto space = line.rfind(' ');
        if (!line.starts_with("\xE2\x80\x94 ") || space < 4) return "has a bad signature line";
        const auto blob = unbase64(line.substr(space + 1));
        if (!blob || blob->size() != 68) return "has a signature of the wrong length";
        out.lines.push_back({line.substr(4, space - 4),
                             {blob->begin(), blob->begin() + 4},
                             {blob->begin() + 4, blob->end()}});
    }
    return {};
}

bool ed25519(const std::array<std::uint8_t, 32>& key, std::string_view message,
             base::byte_view signature) {
    base::signature s{};
    if (signature.size() != s.size()) return false;
    std::copy(signature.begin(), signature.end(), s.begin());
    return base::signature_verifies(base::public_key{key}, base::as_bytes(message), s);
}

/// Checks signature `at` of `note`: name, key id and bytes.
std::string check_signature(const raw_note& note, std::size_t at, std::string_view name,
                            std::string_view key_hex) {
    const auto key = unhex<32>(key_hex);
    const auto& line = note.lines[at];
    if (line.name != name) return "is not signed by " + std::string(name);
    const std::uint8_t type[2] = {0x0a, 0x01};
    const auto id = base::sha256_stream().add(name).add(type).add(key).finish();
    if (!std::equal(line.key_id.begin(), line.key_id.end(), id.bytes.begin())) {
        return "has a signature of " + std::string(name) + " by an unknown key";
    }
    if (!ed25519(key, note.text, line.signature)) {
        return "has a signature of " + std::string(name) + " that does not verify";
    }
    return {};
}

/// Checks "<key> <root signature>" as the log key of `node`.
std::string check_certificate(std::string_view node_hex, std::string_view certified) {
    const std::string text = "tequio/key/v1\nnode " + std::string(node_hex) + "\nrole log\nkey " +
                             std::string(certified.substr(0, 64)) + "\n";
    const auto signature = unbase64(certified.substr(65));
    if (!signature || !ed25519(unhex<32>(node_hex), text, *signature)) {
        return "names a log key that its node's root key did not certify";
    }
    return {};
}

/// What a receipt's verdict asks for (the table of receipt.hpp). Empty: all is as it must be.
std::string check_rules(const field_map& f, bool quoted) {
    static const std::set<std::string_view> with_lane{"lane", "check"},
        without_lane{"validation", "merge"}, both{"matched", "refuted"},
        checker_alone{"unanswered", "refused"};
    const auto kind = f.at("kind"), verdict = f.at("verdict");
    if (!with_lane.contains(kind) && !without_lane.contains(kind)) return "has an unknown kind";
    if (with_lane.contains(kind) == (f.at("lane") == "-")) return "has a lane against its kind";
    if (without_lane.contains(kind) && f.at("slice") != "-") return "has a slice without a lane";
    if (f.at("worker") == f.at("checker")) return "is checked by its own worker";
    if (f.at("swarm") == std::string(64, '0')) return "writes the nameless swarm as zeros";
    const bool is_both = both.contains(verdict), is_worker = verdict == "unchecked";
    if (!is_both && !is_worker && !checker_alone.contains(verdict)) {
        return "has an unknown verdict";
    }
    if (quoted && !is_both) return "quotes an offer that one side signs";
    if ((f.at("checker") == "-") != is_worker) return "has a checker against its verdict";
    if ((f.at("checker-key") == "-") != is_worker) return "has a checker-key against its verdict";
    const bool worker_key = f.at("worker-key") != "-";
    if (!quoted && worker_key != (is_both || is_worker)) {
        return "has a worker-key against its verdict";
    }
    return {};
}

std::string work_of(const field_map& f) {
    std::string out;
    for (const std::string_view name :
         {"kind", "task", "round", "lane", "slice", "worker", "checker"}) {
        out += std::string(name) + " " + std::string(f.at(name)) + "\n";
    }
    return out;
}

/// RFC 6962 root, level by level: pairs are joined, a last one without partner moves up.
base::digest tree_root(std::vector<base::digest> level) {
    if (level.empty()) return base::sha256(std::string_view());
    while (level.size() > 1) {
        std::vector<base::digest> above;
        for (std::size_t i = 0; i + 1 < level.size(); i += 2) {
            const std::uint8_t prefix[1] = {1};
            above.push_back(base::sha256_stream()
                                .add(prefix)
                                .add(level[i].view())
                                .add(level[i + 1].view())
                                .finish());
        }
        if (level.size() % 2 != 0) above.push_back(level.back());
        level = std::move(above);
    }
    return level[0];
}

base::digest leaf_of(std::string_view bytes) {
    const std::uint8_t prefix[1] = {0};
    return base::sha256_stream().add(prefix).add(bytes).finish();
}

}  // namespace

class auditor::state {
public:
    void add(const stored_row& row);
    audit_report finish(std::string_view head, std::string_view second_head);

private:
    void fault(std::optional<std::uint64_t> entry, const std::string& why);
    std::string check_note(const stored_row& row);
    std::string check_opening(const raw_note& note);
    std::string check_receipt(const raw_note& note, const stored_row& row);
    std::string check_unanswered(const raw_note& note, const stored_row& row);
    std::string check_statement(const std::string& header, const field_map& f,
                                const stored_row& row);
    std::string check_certificates(const field_map& f);
    std::string check_ours(const field_map& f) const;
    std::string check_head(std::string_view head, std::uint64_t& size, base::digest& root) const;

    audit_report report_;
    std::vector<base::digest> leaves_;
    base::digest last_;  ///< SHA-256 of the entry before
    bool last_was_faulty_ = false;
    std::string node_, log_key_;                  ///< hex, from the opening
    std::map<base::digest, std::uint64_t> said_;  ///< statement -> entry
    std::set<std::string> certified_;  ///< "node key signature" that verified: few, asked for often
};

void auditor::state::fault(std::optional<std::uint64_t> entry, const std::string& why) {
    if (report_.faults.size() >= faults_max) return;
    report_.faults.push_back(
        {entry ? std::optional(base::entry_index{*entry}) : std::nullopt, why});
}

void auditor::state::add(const stored_row& row) {
    const std::uint64_t at = leaves_.size();
    std::string why;
    if (row.index != at) {
        why = row.index > at ? "is missing: the next row is entry " + std::to_string(row.index)
                             : "stands where entry " + std::to_string(at) + " belongs";
    }
    // The bytes are those the row claims for itself, so that a wrong place shows in its hash.
    const std::string bytes = "tequio/entry/v1\nindex " + std::to_string(row.index) + "\nprev " +
                              base::to_hex(row.prev) + "\n\n" + row.note;
    const auto leaf = leaf_of(bytes);
    if (why.empty() && row.columns && !std::ranges::equal(row.leaf, leaf.bytes)) {
        why = "was changed: its bytes do not have the hash stored with it";
    }
    if (auto w = check_note(row); why.empty()) why = std::move(w);
    if (why.empty() && !last_was_faulty_ && !std::ranges::equal(row.prev, last_.bytes)) {
        if (row.columns && at > 0) {
            // This row has the hash stored with it, so its prev is what was written: the entry
            // before it is another one now, and its stored hash was changed with it.
            fault(at - 1, "was replaced: the entry after it holds the hash of another one");
        } else {
            why = "does not continue the entry before it: prev is not that entry's hash";
        }
    }
    if (!why.empty()) fault(at, why);
    last_was_faulty_ = !why.empty();
    last_ = base::sha256(bytes);
    // A gap is one fault, not one for each later entry.
    while (leaves_.size() < row.index && leaves_.size() < at + faults_max) {
        leaves_.push_back(base::digest{});
    }
    leaves_.push_back(leaf);
    ++report_.entries;
}

std::string auditor::state::check_note(const stored_row& row) {
    raw_note note;
    if (auto why = split_note(row.note, note); !why.empty()) return why;
    if (row.index == 0) return check_opening(note);
    if (note.text.starts_with("tequio/unanswered/")) return check_unanswered(note, row);
    return check_receipt(note, row);
}

std::string auditor::state::check_opening(const raw_note& note) {
    auto rest = note.text;
    field_map f;
    if (auto why = take_fields(rest, "tequio/ledger/v1", opening_rules, f); !why.empty()) {
        return why;
    }
    if (!rest.empty() || note.lines.size() != 1) return "is not the one form of an opening";
    if (auto why = check_certificate(f["node"], f["log-key"]); !why.empty()) return why;
    if (auto why = check_signature(note, 0, "tequio/log", f["log-key"].substr(0, 64));
        !why.empty()) {
        return why;
    }
    node_ = f["node"];
    log_key_ = f["log-key"].substr(0, 64);
    report_.node.bytes = unhex<32>(node_);
    return {};
}

/// Certificates of both sides, as far as they are given.
std::string auditor::state::check_certificates(const field_map& f) {
    for (const std::string_view side : {"worker", "checker"}) {
        const auto key = f.at(side == "worker" ? "worker-key" : "checker-key");
        if (key == "-") continue;
        const auto known = std::string(f.at(side)).append(" ").append(key);
        if (certified_.contains(known)) continue;
        if (auto why = check_certificate(f.at(side), key); !why.empty()) return why;
        certified_.insert(known);
    }
    return {};
}

std::string auditor::state::check_ours(const field_map& f) const {
    if (node_.empty()) return {};  // the opening's own fault says it
    const auto ours = [&](std::string_view node, std::string_view key) {
        return f.at(node) == node_ && f.at(key).substr(0, 64) == log_key_;
    };
    if (ours("worker", "worker-key") || ours("checker", "checker-key")) return {};
    return "is not about this ledger's node, or under another log key";
}

std::string auditor::state::check_statement(const std::string& header, const field_map& f,
                                            const stored_row& row) {
    const auto key = base::sha256(header + "\n" + work_of(f));
    if (row.columns) {
        const auto& c = *row.columns;
        const auto task = unhex<32>(f.at("task"));
        const auto says = [&](const std::optional<std::uint64_t>& column, std::string_view name) {
            return (column ? std::to_string(*column) : "-") == f.at(name);
        };
        if (!std::ranges::equal(c.key, key.bytes) || !std::ranges::equal(c.task, task) ||
            !says(c.round, "round") || !says(c.lane, "lane")) {
            return "is indexed as another piece of work";
        }
    }
    const auto [first, fresh] = said_.emplace(key, row.index);
    if (!fresh) {
        return "says again what entry " + std::to_string(first->second) +
               " said: one piece of work is receipted once";
    }
    return {};
}

std::string auditor::state::check_receipt(const raw_note& note, const stored_row& row) {
    auto rest = note.text;
    field_map f;
    if (auto why = take_fields(rest, "tequio/receipt/v1", receipt_rules, f); !why.empty()) {
        return why;
    }
    if (!rest.empty()) return "has lines after its last";
    if (auto why = check_rules(f, false); !why.empty()) return why;
    if (auto why = check_certificates(f); !why.empty()) return why;
    std::vector<std::pair<std::string_view, std::string_view>> signers;
    if (f["worker-key"] != "-") signers.push_back({"tequio/worker", f["worker-key"]});
    if (f["checker-key"] != "-") signers.push_back({"tequio/checker", f["checker-key"]});
    if (note.lines.size() != signers.size()) return "is not signed by exactly those it names";
    for (std::size_t i = 0; i < signers.size(); ++i) {
        auto why = check_signature(note, i, signers[i].first, signers[i].second.substr(0, 64));
        if (!why.empty()) return why;
    }
    if (auto why = check_ours(f); !why.empty()) return why;
    ++report_.receipts;
    return check_statement("tequio/receipt/v1", f, row);
}

std::string auditor::state::check_unanswered(const raw_note& note, const stored_row& row) {
    auto rest = note.text;
    field_map outer, f;
    if (auto why = take_fields(rest, "tequio/unanswered/v1", unanswered_rules, outer);
        !why.empty()) {
        return why;
    }
    if (outer["reason"] != "silent" && outer["reason"] != "refused") return "has a bad reason";
    std::string inner;
    while (!rest.empty()) {
        const auto end = rest.find('\n');  // there is one: the text ends in a newline
        if (!rest.starts_with("> ")) return "quotes a receipt without \"> \"";
        inner += rest.substr(2, end - 1);
        rest.remove_prefix(end + 1);
    }
    std::string_view quoted = inner;
    if (auto why = take_fields(quoted, "tequio/receipt/v1", receipt_rules, f); !why.empty()) {
        return "quotes a receipt that " + why;
    }
    if (!quoted.empty()) return "quotes more than a receipt";
    if (auto why = check_rules(f, true); !why.empty()) return why;
    if (auto why = check_certificates(f); !why.empty()) return why;
    if (note.lines.size() != 1) return "is not signed by the checker alone";
    if (auto why = check_signature(note, 0, "tequio/checker", f["checker-key"].substr(0, 64));
        !why.empty()) {
        return why;
    }
    if (auto why = check_ours(f); !why.empty()) return why;
    ++report_.unanswered;
    if (said_.contains(base::sha256("tequio/receipt/v1\n" + work_of(f)))) {
        return "says that a receipt was not answered which stands before it";
    }
    return check_statement("tequio/unanswered/v1", f, row);
}

std::string auditor::state::check_head(std::string_view head, std::uint64_t& size,
                                       base::digest& root) const {
    raw_note note;
    if (auto why = split_note(head, note); !why.empty()) return why;
    const auto origin = "tequio/log/" + node_;
    const auto first = note.text.find('\n');
    const auto second = note.text.find('\n', first + 1);
    const auto third = second == std::string_view::npos ? second : note.text.find('\n', second + 1);
    if (third == std::string_view::npos || third + 1 != note.text.size()) {
        return "does not have the three lines of a checkpoint";
    }
    const auto number = note.text.substr(first + 1, second - first - 1);
    const auto hash = unbase64(note.text.substr(second + 1, third - second - 1));
    if (note.text.substr(0, first) != origin) return "is of another ledger";
    if (!is_number(number) || !hash || hash->size() != 32) return "is malformed";
    if (node_.empty() || note.lines.size() != 1) return "is not signed by this ledger's key alone";
    if (auto why = check_signature(note, 0, origin, log_key_); !why.empty()) return why;
    size = 0;
    for (const char c : number) size = size * 10 + static_cast<std::uint64_t>(c - '0');
    std::copy(hash->begin(), hash->end(), root.bytes.begin());
    return {};
}

audit_report auditor::state::finish(std::string_view head, std::string_view second_head) {
    report_.head = tree_root(leaves_);
    if (leaves_.empty()) fault(0, "is missing: a ledger begins with its opening");
    std::uint64_t size = 0;
    base::digest root;
    if (head.empty()) {
        fault({}, "the signed head is missing");
    } else if (auto why = check_head(head, size, root); !why.empty()) {
        fault({}, "the signed head " + why);
    } else if (size > leaves_.size()) {
        fault(leaves_.size(), "is missing: a head over " + std::to_string(size) +
                                  " entries was signed (the end was cut off)");
    } else if (size < leaves_.size()) {
        fault(size,
              "stands behind the signed head, which covers " + std::to_string(size) + " entries");
    } else if (root != report_.head && report_.faults.empty()) {
        fault({}, "the signed head has another root than the entries");
    }
    if (second_head.empty()) return report_;
    if (auto why = check_head(second_head, size, root); !why.empty()) {
        fault({}, "the second signed head " + why);
    } else if (size > leaves_.size()) {
        fault(leaves_.size(), "is missing: a head over " + std::to_string(size) +
                                  " entries was signed (the end was cut off)");
    } else if (report_.faults.empty()) {
        leaves_.resize(static_cast<std::size_t>(size));
        if (tree_root(leaves_) != root) fault({}, "two signed heads of this ledger contradict");
    }
    return report_;
}

auditor::auditor() : state_(std::make_unique<state>()) {}
auditor::~auditor() = default;

void auditor::add(const stored_row& row) {
    state_->add(row);
}

audit_report auditor::finish(std::string_view head, std::string_view second_head) {
    return state_->finish(head, second_head);
}

}  // namespace tequio::ledger
