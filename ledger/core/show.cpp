#include "ledger/show.hpp"

#include <boost/json.hpp>

namespace tequio::ledger {
namespace {

namespace json = boost::json;

std::string padded(std::string text, std::size_t width) {
    if (text.size() < width) text.append(width - text.size(), ' ');
    return text + "  ";
}

/// Entries are shown as they are; a note that cannot be parsed is said to be so.
struct shown {
    std::string kind = "unreadable", time = "-", task = "-", round = "-", lane = "-", slice = "-",
                worker = "-", checker = "-", verdict = "-";
    std::optional<receipt> what;
};

void fill(shown& s, const receipt& r) {
    const auto& f = r.facts;
    s.kind = name_of(f.kind);
    s.time = base::to_rfc3339(r.time);
    s.task = f.task.brief();
    s.round = std::to_string(f.round.value);
    if (f.lane) s.lane = std::to_string(f.lane->value);
    if (f.slice) s.slice = std::to_string(*f.slice);
    s.worker = f.worker.brief();
    if (f.checker) s.checker = f.checker->brief();
    s.verdict = name_of(f.verdict);
    s.what = r;
}

shown shown_of(const entry& e) {
    shown s;
    const auto content = parse_entry_note(e.note);
    if (!content) return s;
    if (const auto* o = std::get_if<opening_note>(&*content)) {
        s.kind = "opening";
        s.time = base::to_rfc3339(o->created);
        s.worker = o->node.brief();
    } else if (const auto* r = std::get_if<receipt>(&*content)) {
        fill(s, *r);
    } else {
        const auto& n = std::get<unanswered_note>(*content);
        fill(s, n.offered);
        s.time = base::to_rfc3339(n.time);
        s.verdict +=
            n.reason == unanswered_note::reason_code::silent ? " (unanswered)" : " (refused)";
    }
    return s;
}

json::object json_of(const entry& e) {
    const auto s = shown_of(e);
    json::object o{
        {"index", e.index.value}, {"prev", e.prev.hex()}, {"kind", s.kind}, {"time", s.time}};
    if (s.what) {
        const auto& f = s.what->facts;
        o["task"] = f.task.hex();
        o["recipe"] = f.recipe.hex();
        o["round"] = f.round.value;
        o["lane"] = f.lane ? json::value(f.lane->value) : json::value(nullptr);
        o["slice"] = f.slice ? json::value(*f.slice) : json::value(nullptr);
        o["worker"] = f.worker.hex();
        o["checker"] = f.checker ? json::value(f.checker->hex()) : json::value(nullptr);
        o["state"] = f.state.hex();
        o["contribution"] = f.contribution.hex();
        o["tokens"] = f.tokens;
        o["flops"] = f.flops;
        o["verdict"] = name_of(f.verdict);
        o["answered"] = e.note.starts_with("tequio/receipt/");
    }
    o["note"] = e.note;
    return o;
}

std::string place_of(const audit_fault& f) {
    return f.entry ? "entry " + std::to_string(f.entry->value) + " " : "";
}

}  // namespace

std::string show_text(std::span<const entry> entries) {
    if (entries.empty()) return "no entries\n";
    std::string out = padded("entry", 7) + padded("time", 20) + padded("kind", 10) +
                      padded("task", 8) + padded("round", 5) + padded("lane", 5) +
                      padded("slice", 5) + padded("worker", 8) + padded("checker", 8) + "verdict\n";
    for (const auto& e : entries) {
        const auto s = shown_of(e);
        out += padded(std::to_string(e.index.value), 7) + padded(s.time, 20) + padded(s.kind, 10) +
               padded(s.task, 8) + padded(s.round, 5) + padded(s.lane, 5) + padded(s.slice, 5) +
               padded(s.worker, 8) + padded(s.checker, 8) + s.verdict + "\n";
    }
    return out;
}

std::string show_json(std::span<const entry> entries) {
    json::array list;
    for (const auto& e : entries) list.push_back(json_of(e));
    return json::serialize(
               json::object{{"schema", "tequio/ledger-show/1"}, {"entries", std::move(list)}}) +
           "\n";
}

std::string report_text(const audit_report& report) {
    std::string out;
    if (report.ok()) {
        out = "ok: " + std::to_string(report.entries) + " entries (" +
              std::to_string(report.receipts) + " receipts, " + std::to_string(report.unanswered) +
              " unanswered), head " + report.head.hex() + "\nnode " + report.node.hex() + "\n";
    } else {
        out = "verification failed: " + std::to_string(report.faults.size()) + " of " +
              std::to_string(report.entries) + " entries or heads are wrong\n";
        for (const auto& f : report.faults) out += "  " + place_of(f) + f.reason + "\n";
    }
    return out +
           "This shows who said what, and in what order. That the work was right follows from "
           "recomputing it (`tequio job replay`).\n";
}

std::string report_json(const audit_report& report) {
    json::array faults;
    for (const auto& f : report.faults) {
        faults.push_back(
            json::object{{"entry", f.entry ? json::value(f.entry->value) : json::value(nullptr)},
                         {"reason", f.reason}});
    }
    return json::serialize(json::object{{"schema", "tequio/ledger-verify/1"},
                                        {"entries", report.entries},
                                        {"head", report.head.hex()},
                                        {"ok", report.ok()},
                                        {"node", report.node.hex()},
                                        {"receipts", report.receipts},
                                        {"unanswered", report.unanswered},
                                        {"faults", std::move(faults)}}) +
           "\n";
}

std::string export_line(const entry& e) {
    return json::serialize(
               json::object{{"index", e.index.value}, {"prev", e.prev.hex()}, {"note", e.note}}) +
           "\n";
}

std::string export_head_line(std::string_view head) {
    return json::serialize(json::object{{"head", head}}) + "\n";
}

base::result<audit_report> verify_export(std::string_view text) {
    auditor audit;
    std::string head;
    bool ended = false;
    std::uint64_t number = 0;
    while (!text.empty()) {
        ++number;
        const auto bad = [&](std::string_view why) {
            return base::fail(errc::bad_receipt,
                              "line " + std::to_string(number) + ": " + std::string(why));
        };
        const auto end = text.find('\n');
        if (end == std::string_view::npos) return bad("cut off: it has no end");
        if (ended) return bad("the head is the last line of an export");
        boost::system::error_code ec;
        const auto value = json::parse(text.substr(0, end), ec);
        text.remove_prefix(end + 1);
        const auto* o = ec ? nullptr : value.if_object();
        if (!o) return bad("not a JSON object");
        const auto string_at = [&](const char* key) -> const json::string* {
            const auto* v = o->if_contains(key);
            return v ? v->if_string() : nullptr;
        };
        if (const auto* h = string_at("head"); h && o->size() == 1) {
            head = std::string(h->data(), h->size());
            ended = true;
            continue;
        }
        const auto* index = o->if_contains("index");
        const auto* prev = string_at("prev");
        const auto* note = string_at("note");
        boost::system::error_code not_whole;
        const auto at = index ? index->to_number<std::uint64_t>(not_whole) : 0;
        if (!index || not_whole || !prev || !note || o->size() != 3) {
            return bad("not an entry: index, prev and note");
        }
        const auto bytes = base::from_hex(std::string_view(prev->data(), prev->size()));
        if (!bytes) return bad("prev is not hexadecimal");
        audit.add({at, *bytes, {}, std::string(note->data(), note->size()), {}});
    }
    return audit.finish(head, "");
}

}  // namespace tequio::ledger
