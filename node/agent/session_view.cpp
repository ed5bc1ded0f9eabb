#include "node/agent/session_view.hpp"

#include <algorithm>

namespace tequio::node {
namespace {

bool in_use(const agent_report& report) {
    return report.idle < active_span;
}

}  // namespace

const char* source_name(source_kind kind) {
    switch (kind) {
        case source_kind::wayland:
            return "wayland";
        case source_kind::gnome:
            return "gnome";
        case source_kind::x11:
            return "x11";
    }
    return "none";
}

void session_view::set_input(source_kind kind, input_fact fact) {
    inputs_[static_cast<std::size_t>(kind)] = std::move(fact);
}

void session_view::set_lock(lock_kind kind, std::optional<bool> locked) {
    locks_[static_cast<std::size_t>(kind)] = locked;
}

std::optional<source_kind> session_view::source() const {
    for (std::size_t i = 0; i < source_kinds; ++i) {
        if (inputs_[i] && inputs_[i]->works) return static_cast<source_kind>(i);
    }
    return std::nullopt;
}

bool session_view::all_heard() const {
    return std::ranges::all_of(inputs_, [](const auto& fact) { return fact.has_value(); });
}

std::string session_view::describe() const {
    const auto chosen = source();
    std::string why;
    for (std::size_t i = 0; i < source_kinds; ++i) {
        if (!inputs_[i] || inputs_[i]->works) continue;
        const auto kind = static_cast<source_kind>(i);
        // What ranks below the chosen one would not count anyway.
        if (chosen && kind > *chosen) continue;
        why +=
            (why.empty() ? "" : "; ") + std::string(source_name(kind)) + ": " + inputs_[i]->trouble;
    }
    std::string out = chosen ? source_name(*chosen) : "none";
    return why.empty() ? out : out + " (" + why + ")";
}

std::optional<agent_report> session_view::report_at(base::time_point now) const {
    const auto kind = source();
    if (!kind) return std::nullopt;
    const auto& fact = *inputs_[static_cast<std::size_t>(*kind)];
    agent_report out;
    out.source = source_name(*kind);
    out.idle = std::chrono::milliseconds(0);
    if (!fact.active) {
        out.idle = std::chrono::duration_cast<std::chrono::milliseconds>(
            std::max(now - fact.last_input, base::duration(0)));
    }
    out.locked = std::ranges::any_of(locks_, [](const auto& l) { return l.value_or(false); });
    out.full_screen = full_screen_;
    return out;
}

/// Whether something other than the idle time is not as the daemon was told.
bool session_view::differs(const agent_report& report) const {
    const auto& before = told_->report;
    return report.source != before.source || report.locked != before.locked ||
           report.full_screen != before.full_screen;
}

std::optional<agent_report> session_view::due(base::time_point now) const {
    auto report = report_at(now);
    if (!report || !told_) return report;
    const bool resumed = in_use(*report) && !in_use(told_->report);
    if (resumed || now >= *next_deadline()) return report;
    return std::nullopt;
}

void session_view::sent(base::time_point now, const agent_report& report) {
    told_ = told{report, now};
}

std::optional<base::time_point> session_view::next_deadline() const {
    if (!source()) return std::nullopt;
    if (!told_) return base::time_point::min();
    if (differs(*report_at(told_->at))) return told_->at + change_pause;
    return told_->at + (in_use(told_->report) ? in_use_beat : idle_beat);
}

}  // namespace tequio::node
