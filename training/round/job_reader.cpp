#include "training/round/job_reader.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "training/round/lines.hpp"

namespace tequio::training {
namespace {

using kind = toml_value::kind;

/// More faults than a person reads at once.
constexpr std::size_t faults_shown_max = 20;

/// A recipe's key as a job file spells it.
std::string_view job_key(std::string_view key) {
    if (key == "schedule.final_share") return "schedule.final";
    if (key == "inner.beta1" || key == "inner.beta2") return "inner.betas";
    return key;
}

/// A key may be any text in TOML; messages hold printable ASCII only.
std::string printable(std::string_view key) {
    const auto text = quoted(key);
    return text.substr(1, text.size() - 2);
}

std::string range_text(std::uint64_t low, std::uint64_t high) {
    return integer_range_text(static_cast<std::int64_t>(low), static_cast<std::int64_t>(high));
}

}  // namespace

std::string job_reader::full(std::string_view key) const {
    return section_ + "." + std::string(key);
}

void job_reader::section(std::string_view name) {
    section_ = name;
    const auto* node = root_.find(name);
    if (node != nullptr && node->type != kind::table) {
        faults_.push_back({node->line, {section_, node->shown(), "a section [" + section_ + "]"}});
    }
}

const toml_value* job_reader::find(std::string_view key) {
    const auto path = full(key);
    if (std::find(known_.begin(), known_.end(), path) == known_.end()) known_.push_back(path);
    const toml_value* node = &root_;
    std::string walked;
    for (const auto part : base::split(path, '.')) {
        const auto* next = node->find(part);
        if (!walked.empty()) walked += '.';
        walked += part;
        if (next == nullptr) return nullptr;
        if (walked != path && walked != section_ && next->type != kind::table) {
            const auto same = [&](const fault& f) { return f.what.key == walked; };
            if (std::none_of(faults_.begin(), faults_.end(), same)) {
                faults_.push_back({next->line, {walked, next->shown(), "a table { ... }"}});
            }
            return nullptr;
        }
        node = next;
    }
    return node;
}

std::uint64_t job_reader::line_of(std::string_view full_key) const {
    const toml_value* node = &root_;
    auto line = node->line;
    for (const auto part : base::split(full_key, '.')) {
        node = node->find(part);
        if (node == nullptr) break;
        line = node->line;
    }
    return line;
}

void job_reader::refuse(std::string_view key, std::string found, std::string allowed, bool lacks) {
    const auto path = full(key);
    faults_.push_back({line_of(path), {path, std::move(found), std::move(allowed), lacks}});
}

void job_reader::refuse(field_fault f) {
    const auto dot = f.key.find('.');
    f.key =
        f.key.substr(0, dot + 1) + std::string(job_key(std::string_view(f.key).substr(dot + 1)));
    faults_.push_back({line_of(f.key), std::move(f)});
}

void job_reader::missing(std::string_view key, std::string allowed) {
    const auto* parent = root_.find(section_);
    if (parent != nullptr && parent->type != kind::table) return;  // said already
    refuse(key, "nothing", std::move(allowed));
}

void job_reader::integer(std::string_view key, std::uint64_t& value, std::uint64_t low,
                         std::uint64_t high) {
    // These follow from the tokenizer or the data.
    if (key == "vocabulary" || key == "inputs" || key == "classes") return;
    const auto* node = find(key);
    if (node == nullptr) {
        if (value < low || value > high) missing(key, range_text(low, high));
        return;
    }
    if (node->type != kind::integer || node->integer < 0 ||
        static_cast<std::uint64_t>(node->integer) < low ||
        static_cast<std::uint64_t>(node->integer) > high) {
        return refuse(key, node->shown(), range_text(low, high));
    }
    value = static_cast<std::uint64_t>(node->integer);
}

void job_reader::signed_integer(std::string_view key, int& value, int low, int high) {
    const auto* node = find(key);
    if (node == nullptr) return;
    if (node->type != kind::integer || node->integer < low || node->integer > high) {
        return refuse(key, node->shown(), integer_range_text(low, high));
    }
    value = static_cast<int>(node->integer);
}

bool job_reader::read_real(std::string_view key, const toml_value& node, double& value,
                           const real_bounds& bounds) {
    // An integer where a real is meant ("lr = 1") is what people write.
    const bool whole = node.type == kind::integer;
    const double x = whole ? static_cast<double>(node.integer) : node.real;
    if ((!whole && node.type != kind::real) || !bounds.hold(x)) {
        refuse(key, node.shown(), bounds.text());
        return false;
    }
    value = x;
    return true;
}

void job_reader::read_beta(std::size_t index, double& value) {
    const auto* node = find("inner.betas");
    if (node == nullptr) return;
    double betas[2] = {};
    bool valid = node->type == kind::array && node->items.size() == 2;
    for (std::size_t i = 0; valid && i < 2; ++i) {
        const auto& item = node->items[i];
        betas[i] = item.type == kind::integer ? static_cast<double>(item.integer) : item.real;
        valid =
            (item.type == kind::integer || item.type == kind::real) && beta_bounds.hold(betas[i]);
    }
    if (valid) {
        value = betas[index];
    } else if (index == 0) {  // once for both
        refuse("inner.betas", node->shown(), "two reals, each from 0 to below 1");
    }
}

void job_reader::real(std::string_view key, double& value, const real_bounds& bounds) {
    if (key == "inner.beta1" || key == "inner.beta2") return read_beta(key.back() - '1', value);
    const auto name = job_key(key);
    if (const auto* node = find(name)) read_real(name, *node, value, bounds);
}

void job_reader::word(std::string_view key, std::string& value, const word_choice& choice) {
    const auto* node = find(key);
    const auto has = [&](std::string_view w) {
        return std::find(choice.has.begin(), choice.has.end(), w) != choice.has.end();
    };
    if (node == nullptr) {
        if (!has(value)) missing(key, join_words(choice.has));
        return;
    }
    if (node->type != kind::text) return refuse(key, node->shown(), join_words(choice.has));
    if (!has(node->text)) {
        auto f = word_fault("", node->text, choice);
        return refuse(key, std::move(f.found), std::move(f.allowed), f.lacking);
    }
    value = node->text;
}

void job_reader::flag(std::string_view key, bool& value) {
    const auto* node = find(key);
    if (node == nullptr) return;
    if (node->type != kind::boolean) return refuse(key, node->shown(), "true or false");
    value = node->boolean;
}

void job_reader::constant(std::string_view key, const word_choice& choice) {
    std::string value(choice.has.front());
    word(key, value, choice);
}

void job_reader::layers(std::string_view key, std::vector<std::uint64_t>& value) {
    const auto* node = find(key);
    if (node == nullptr) return;
    const auto whole = [](const toml_value& item) {
        return item.type == kind::integer && item.integer >= 0;
    };
    if (node->type != kind::array || !std::all_of(node->items.begin(), node->items.end(), whole)) {
        return refuse(key, node->shown(), "a list of layers like [2, 4], or []");
    }
    value.clear();
    for (const auto& item : node->items) value.push_back(static_cast<std::uint64_t>(item.integer));
}

bool job_reader::text(std::string_view key, std::string& value, std::string_view allowed) {
    const auto* node = find(key);
    if (node == nullptr) return false;
    if (node->type != kind::text) {
        refuse(key, node->shown(), std::string(allowed));
        return false;
    }
    value = node->text;
    return true;
}

const toml_value* job_reader::any(std::string_view key) {
    return find(key);
}

void job_reader::lacking(std::string_view key, std::string_view has) {
    const auto* node = find(key);
    if (node == nullptr) return;
    refuse(key, node->shown(),
           "no such key (\"" + std::string(key) +
               "\" is not in this version (has: " + std::string(has) + "))",
           true);
}

void job_reader::refuse_unknown_in(const toml_value& table, const std::string& path) {
    const auto begins = [](const std::string& text, const std::string& prefix) {
        return text.size() > prefix.size() && text.starts_with(prefix) &&
               text[prefix.size()] == '.';
    };
    for (const auto& [name, value] : table.members) {
        const auto key = path.empty() ? name : path + "." + name;
        // A key with a dot in quotes is none of ours, whatever it spells.
        const bool plain = name.find('.') == std::string::npos;
        if (plain && std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
        if (plain && std::any_of(known_.begin(), known_.end(),
                                 [&](const std::string& k) { return begins(k, key); })) {
            if (value.type == kind::table) refuse_unknown_in(value, key);
            continue;
        }
        std::string allowed;
        std::string last;
        for (const auto& k : known_) {
            if (!path.empty() && !begins(k, path)) continue;
            const auto rest = path.empty() ? k : k.substr(path.size() + 1);
            const auto part = rest.substr(0, rest.find('.'));
            if (part != last) allowed += (allowed.empty() ? "" : ", ") + part;
            last = part;
        }
        faults_.push_back({value.line, {printable(key), "an unknown key", allowed}});
    }
}

void job_reader::refuse_unknown() {
    refuse_unknown_in(root_, "");
}

std::string job_reader::report(std::string_view file_name, bool& lacks) const {
    auto sorted = faults_;
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const fault& a, const fault& b) { return a.line < b.line; });
    lacks = !sorted.empty() && sorted.front().what.lacking;
    std::string out;
    for (std::size_t i = 0; i < sorted.size() && i < faults_shown_max; ++i) {
        if (i != 0) out += '\n';
        out += std::string(file_name) + ":" + std::to_string(sorted[i].line) + " " +
               sorted[i].what.text();
    }
    if (sorted.size() > faults_shown_max) {
        out += "\nand " + std::to_string(sorted.size() - faults_shown_max) + " more";
    }
    return out;
}

}  // namespace tequio::training
