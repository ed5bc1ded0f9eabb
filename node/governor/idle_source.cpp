#include "node/governor/idle_source.hpp"

#include <algorithm>

namespace tequio::node {
namespace {

/// What all agents that are heard say together.
struct agents_word {
    const session_input* latest = nullptr;  ///< the one that saw input last
    base::duration since_input{};
    bool any_trusted = false;
    bool all_locked = true;
    std::optional<bool> full_screen;
};

agents_word hear(const std::vector<session_input>& agents) {
    agents_word out;
    for (const auto& a : agents) {
        if (a.heard_ago > agent_fresh_max) continue;
        const auto since = a.idle + a.heard_ago;
        if (!out.latest || since < out.since_input) {
            out.latest = &a;
            out.since_input = since;
        }
        out.any_trusted = out.any_trusted || a.trusted;
        out.all_locked = out.all_locked && a.locked;
    }
    for (const auto& a : agents) {
        // A window behind a lock is watched by nobody.
        if (a.heard_ago > agent_fresh_max || (a.locked && !out.all_locked)) continue;
        if (a.full_screen) out.full_screen = out.full_screen.value_or(false) || *a.full_screen;
    }
    return out;
}

/// `since` counts when it is later than what is believed so far.
void later(idle_belief& b, base::duration since, const std::string& source) {
    if (b.since_input && *b.since_input <= since) return;
    b.since_input = since;
    b.source = source;
}

}  // namespace

idle_belief believe(const idle_evidence& e) {
    idle_belief out;
    out.locked = e.locked.value_or(false);
    const auto agents = hear(e.agents);
    if (agents.any_trusted) {
        out.locked = out.locked || agents.all_locked;
    } else if (e.idle_hint.value_or(false)) {
        later(out, e.idle_for.value_or(base::duration::zero()), "logind");
    } else if (e.idle_hint && e.hint_works) {
        later(out, base::duration::zero(), "logind");
    }
    if (agents.latest) later(out, agents.since_input, agents.latest->source);
    out.full_screen = agents.full_screen;
    if (e.tty_idle) later(out, *e.tty_idle, "tty");
    return out;
}

}  // namespace tequio::node
