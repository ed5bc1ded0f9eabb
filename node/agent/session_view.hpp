#pragma once

/// What the sources of a session say, put together, and when the daemon must hear of it. Pure: no
/// clock, thread or socket; the agent's loop hands everything in.
///
/// Rules: the first source that works counts, in the order of `source_kind`, for a desktop's own
/// word is worth more than that of an X server which may see only some of its windows. Locked when
/// anybody says so. A change is due at once; otherwise a report a second while the machine is in
/// use and one in five seconds while it is not, so that the daemon can tell a quiet owner from a
/// dead agent. Between reports nothing is due: there is no other timer.

#include <array>
#include <optional>
#include <string>

#include "base/time.hpp"
#include "node/governor/agent_report.hpp"

namespace tequio::node {

/// Where input is learnt from, the most trusted first.
enum class source_kind : unsigned { wayland, gnome, x11 };
inline constexpr std::size_t source_kinds = 3;
/// "wayland", "gnome", "x11": the words of `agent_report`.
const char* source_name(source_kind kind);

/// Who knows of the lock.
enum class lock_kind : unsigned { logind, gnome_screen_saver, free_desktop_screen_saver };
inline constexpr std::size_t lock_kinds = 3;

/// Without input for this long a session is idle. Sources that push report it then; it is also how
/// far off "0 ms" may be.
inline constexpr base::duration active_span = std::chrono::seconds(1);
/// Time between reports.
inline constexpr base::duration in_use_beat = std::chrono::seconds(1),
                                idle_beat = std::chrono::seconds(5);

/// Least time between two reports of a changed source, lock or full screen; input waits for
/// nothing.
inline constexpr base::duration change_pause = std::chrono::milliseconds(50);

/// What one source says.
struct input_fact {
    bool works = false;
    std::string trouble;            ///< why it does not work: "DISPLAY is not set"
    bool active = false;            ///< input within the last `active_span`
    base::time_point last_input{};  ///< the last one, when not active
};

class session_view {
public:
    void set_input(source_kind kind, input_fact fact);
    /// Empty: this one does not know.
    void set_lock(lock_kind kind, std::optional<bool> locked);
    void set_full_screen(std::optional<bool> value) { full_screen_ = value; }

    /// The source that counts; empty: none works, and nothing is reported.
    std::optional<source_kind> source() const;
    /// True once every source said something.
    bool all_heard() const;
    /// For people: "x11 (wayland: WAYLAND_DISPLAY is not set; gnome: no session bus)".
    std::string describe() const;

    /// The report that is due at `now`; empty when none is. The caller sends it; then `sent`.
    std::optional<agent_report> due(base::time_point now) const;
    /// The daemon has it.
    void sent(base::time_point now, const agent_report& report);
    /// When `due` gives something next if nothing changes; empty while no source works.
    std::optional<base::time_point> next_deadline() const;

private:
    std::optional<agent_report> report_at(base::time_point now) const;
    bool differs(const agent_report& report) const;

    struct told {
        agent_report report;
        base::time_point at;
    };
    std::array<std::optional<input_fact>, source_kinds> inputs_;
    std::array<std::optional<bool>, lock_kinds> locks_;
    std::optional<bool> full_screen_;
    std::optional<told> told_;
};

}  // namespace tequio::node
