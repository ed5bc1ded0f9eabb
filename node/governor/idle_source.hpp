#pragma once

/// Which source is believed about the owner's last input. Pure; the order is the policy:
/// the session agents while they are heard, logind's idle hint where a desktop sets it, the
/// terminals, and else nothing but the processors' use.
///
/// Several sessions may report, also those of users whom the daemon knows nothing about. The rule
/// for all: whoever saw input last is right, and one unlocked session is enough to count as
/// unlocked. A session that is not trusted can therefore make the machine look used, never unused:
/// beside its word logind's counts as if there were no agent.

#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"

namespace tequio::node {

/// An agent that was not heard for longer is gone: it beats every 5 s at least.
inline constexpr base::duration agent_fresh_max = std::chrono::seconds(10);

/// The last report of one session's agent.
struct session_input {
    std::string source;          ///< "wayland", "gnome" or "x11"
    base::duration idle{};       ///< since input, when the report was sent
    base::duration heard_ago{};  ///< age of the report
    bool locked = false;
    std::optional<bool> full_screen;
    bool trusted = true;  ///< of the owner, or of whoever sits at the machine
};

/// All that is known about the owner's presence. Empty: nobody to ask.
struct idle_evidence {
    std::vector<session_input> agents;
    std::optional<bool> locked;              ///< logind: all local sessions are
    std::optional<bool> idle_hint;           ///< logind
    std::optional<base::duration> idle_for;  ///< logind: since when the hint is true
    /// The hint has been true since this process started: the desktop sets it, so "false" can be
    /// believed too. KDE leaves "false" for ever (reference "volunteer", finding 1).
    bool hint_works = false;
    std::optional<base::duration> tty_idle;  ///< the terminal read last, in steps of 8 s
};

/// What is believed.
struct idle_belief {
    std::optional<base::duration> since_input;
    std::string source = "cpu-only";  ///< the agent's source, "logind", "tty" or "cpu-only"
    bool locked = false;
    std::optional<bool> full_screen;
    bool operator==(const idle_belief&) const = default;
};

/// The belief that `evidence` gives. Input on a terminal (SSH) counts beside the agent's and
/// logind's: whichever was later is named.
idle_belief believe(const idle_evidence& evidence);

}  // namespace tequio::node
