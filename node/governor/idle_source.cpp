#include "node/governor/idle_source.hpp"

namespace tequio::node {

idle_belief believe(const idle_evidence& e) {
    idle_belief out;
    out.locked = e.locked.value_or(false);
    if (e.agent && e.agent->heard_ago <= agent_fresh_max) {
        out.since_input = e.agent->idle + e.agent->heard_ago;
        out.source = e.agent->source;
        out.locked = out.locked || e.agent->locked;
        out.full_screen = e.agent->full_screen;
    } else if (e.idle_hint.value_or(false)) {
        out.since_input = e.idle_for.value_or(base::duration::zero());
        out.source = "logind";
    } else if (e.idle_hint && e.hint_works) {
        out.since_input = base::duration::zero();
        out.source = "logind";
    }
    if (e.tty_idle && (!out.since_input || *e.tty_idle < *out.since_input)) {
        out.since_input = e.tty_idle;
        out.source = "tty";
    }
    return out;
}

}  // namespace tequio::node
