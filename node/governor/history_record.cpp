#include "node/governor/history_record.hpp"

#include <algorithm>
#include <optional>

#include "base/text.hpp"

namespace tequio::node {
namespace {

/// One change a nanosecond for a century: no number of ours is larger.
constexpr std::uint64_t number_max = std::uint64_t{1} << 62;
constexpr std::uint64_t recorded_threads_max = 65536;

base::error malformed_change(std::string_view what) {
    return base::fail(base::errc::bad_encoding,
                      "a change of the governor's history is malformed: " + std::string(what));
}

std::string slot_of(std::uint64_t number) {
    auto text = std::to_string(number % governor_history_max);
    return std::string(3 - text.size(), '0') + text;
}

std::optional<reason_code> code_of(std::string_view name) {
    for (int i = 0; i <= static_cast<int>(reason_code::idle); ++i) {
        const auto code = static_cast<reason_code>(i);
        if (reason_code_name(code) == name) return code;
    }
    return std::nullopt;
}

/// The next word, taken off `text` with the space behind it.
std::string_view word_off(std::string_view& text) {
    const auto end = std::min(text.find(' '), text.size());
    const auto word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return word;
}

}  // namespace

std::pair<std::string, std::string> history_record::add(const governor_change& change) {
    const auto number = changes_.empty() ? 0 : std::prev(changes_.end())->first + 1;
    auto kept = change;
    if (kept.reason.size() > reason_bytes_max) kept.reason.resize(reason_bytes_max);
    auto text = "1 " + std::to_string(number) + " " + std::to_string(kept.at.seconds) + " " +
                std::to_string(kept.threads) + " " + std::string(reason_code_name(kept.code)) +
                " " + kept.reason;
    // Whatever had this slot is overwritten on the disk too.
    if (number >= governor_history_max) changes_.erase(number - governor_history_max);
    changes_.emplace(number, std::move(kept));
    if (changes_.size() > governor_history_max) changes_.erase(changes_.begin());
    return {slot_of(number), std::move(text)};
}

base::result<void> history_record::restore(std::string_view key, std::string_view text) {
    auto rest = text;
    if (word_off(rest) != "1") return malformed_change(text.substr(0, 80));
    const auto number = base::parse_u64(word_off(rest));
    const auto at = base::parse_i64(word_off(rest));
    const auto threads = base::parse_u64(word_off(rest));
    const auto code = code_of(word_off(rest));
    const bool fits = number && *number < number_max && slot_of(*number) == key && at && threads &&
                      *threads <= recorded_threads_max && code && rest.size() <= reason_bytes_max;
    if (!fits) return malformed_change(text.substr(0, 80));
    changes_[*number] = {base::unix_time{*at}, *code, static_cast<unsigned>(*threads),
                         std::string(rest)};
    if (changes_.size() > governor_history_max) changes_.erase(changes_.begin());
    return {};
}

std::vector<governor_change> history_record::changes() const {
    std::vector<governor_change> out;
    for (const auto& [number, change] : changes_) out.push_back(change);
    return out;
}

}  // namespace tequio::node
