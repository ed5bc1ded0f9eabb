#include "node/governor/agent_report.hpp"

#include <algorithm>
#include <array>
#include <boost/json.hpp>

#include "base/ensure.hpp"
#include "node/core/errc.hpp"

namespace tequio::node {
namespace {

namespace json = boost::json;

constexpr std::array<std::string_view, 3> sources = {"wayland", "gnome", "x11"};
constexpr const char* sources_allowed = "\"wayland\", \"gnome\" or \"x11\"";
constexpr const char* keys_allowed = "source, idle_ms, locked and full_screen";

bool is_source(std::string_view text) {
    return std::find(sources.begin(), sources.end(), text) != sources.end();
}

base::error wrong(std::string_view key, const std::string& found, const std::string& allowed) {
    return fail(errc::bad_request,
                "agent report: " + std::string(key) + ": found " + found + ", allowed: " + allowed);
}

/// What a person sees of a value that is not as it must be; never long.
std::string shortened(const json::value& value) {
    std::string text = json::serialize(value);
    std::size_t cut = 40;
    if (text.size() <= cut) return text;
    // Not inside a character of UTF-8: the sentence becomes JSON again.
    while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) --cut;
    text.resize(cut);
    text += "...";
    return text;
}

base::result<const json::value*> member(const json::object& o, std::string_view key,
                                        const std::string& allowed) {
    const auto* value = o.if_contains(key);
    if (!value) return wrong(key, "nothing", allowed);
    return value;
}

base::result<std::string> source_of(const json::object& o) {
    TEQUIO_TRY(const auto* value, member(o, "source", sources_allowed));
    if (!value->is_string() || !is_source(std::string_view(value->as_string()))) {
        return wrong("source", shortened(*value), sources_allowed);
    }
    return std::string(value->as_string());
}

base::result<std::chrono::milliseconds> idle_of(const json::object& o) {
    const auto allowed =
        "a whole number from 0 to " + std::to_string(agent_idle_max.count()) + " (milliseconds)";
    TEQUIO_TRY(const auto* value, member(o, "idle_ms", allowed));
    // Boost.JSON reads whole numbers as int64 when they fit; what does not fit is above the cap.
    if (!value->is_int64() || value->as_int64() < 0 || value->as_int64() > agent_idle_max.count()) {
        return wrong("idle_ms", shortened(*value), allowed);
    }
    return std::chrono::milliseconds(value->as_int64());
}

}  // namespace

base::result<agent_report> parse_agent_report(std::string_view text) {
    if (text.size() > agent_report_max_bytes) {
        return fail(errc::bad_request, "agent report: found " + std::to_string(text.size()) +
                                           " bytes, allowed: at most " +
                                           std::to_string(agent_report_max_bytes));
    }
    boost::system::error_code ec;
    const auto value = json::parse(text, ec);
    if (ec) return fail(errc::bad_request, "agent report: not JSON: " + ec.message());
    if (!value.is_object()) {
        return fail(errc::bad_request,
                    "agent report: found " + shortened(value) + ", allowed: a JSON object");
    }
    const auto& o = value.as_object();
    agent_report out;
    TEQUIO_TRY(out.source, source_of(o));
    TEQUIO_TRY(out.idle, idle_of(o));
    TEQUIO_TRY(const auto* locked, member(o, "locked", "true or false"));
    if (!locked->is_bool()) return wrong("locked", shortened(*locked), "true or false");
    out.locked = locked->as_bool();
    TEQUIO_TRY(const auto* full, member(o, "full_screen", "true, false or null"));
    if (full->is_bool()) {
        out.full_screen = full->as_bool();
    } else if (!full->is_null()) {
        return wrong("full_screen", shortened(*full), "true, false or null");
    }
    if (o.size() != 4) {
        for (const auto& item : o) {
            const std::string_view key = item.key();
            if (key != "source" && key != "idle_ms" && key != "locked" && key != "full_screen") {
                return fail(errc::bad_request, "agent report: found the key " +
                                                   shortened(json::value(key)) +
                                                   ", allowed: " + keys_allowed);
            }
        }
    }
    return out;
}

std::string agent_report_text(const agent_report& report) {
    base::ensure(is_source(report.source), "the agent has three sources");
    const auto idle = std::clamp(report.idle, std::chrono::milliseconds(0), agent_idle_max).count();
    const auto word = [](bool value) { return value ? "true" : "false"; };
    return "{\"source\":\"" + report.source + "\",\"idle_ms\":" + std::to_string(idle) +
           ",\"locked\":" + word(report.locked) +
           ",\"full_screen\":" + (report.full_screen ? word(*report.full_screen) : "null") + "}";
}

}  // namespace tequio::node
