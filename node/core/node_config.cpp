#include "node/core/node_config.hpp"

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/text.hpp"
#include "node/core/errc.hpp"
#include "p2p/address.hpp"

namespace tequio::node {
namespace {

/// Keys of INTERFACE.md that later versions will have.
constexpr std::array lacking{"network.lan_discovery", "network.port_mapping", "network.relay",
                             "accept.prefer",         "api.address",          "api.token_file"};

/// Reads keys one by one; what nobody read in the end is unknown.
class reader {
public:
    reader(const toml::table& root, std::string_view file, node_config& config)
        : root_(root), file_(file), config_(config) {}

    /// Calls `take(node)`; it returns what is allowed when the value does not fit.
    template <class Take>
    void key(const std::string& name, Take take) {
        known_.insert(name);
        config_.origin[name] = "default";
        const auto node = root_.at_path(name);
        if (!node) return;
        const auto line = node.node()->source().begin.line;
        config_.origin[name] = std::string(file_) + ":" + std::to_string(line);
        if (const std::string allowed = take(*node.node()); !allowed.empty()) {
            fault(line, name, "found " + shown(*node.node()) + ", allowed: " + allowed);
        }
    }
    void text(const std::string& name, std::string& out, std::vector<std::string> allowed) {
        key(name, [&](const toml::node& node) -> std::string {
            const auto value = node.value_exact<std::string>();
            if (!value || (!allowed.empty() &&
                           std::find(allowed.begin(), allowed.end(), *value) == allowed.end())) {
                std::string list;
                for (const auto& a : allowed) list += (list.empty() ? "\"" : ", \"") + a + "\"";
                return list.empty() ? "a text" : list;
            }
            out = *value;
            return "";
        });
    }
    void integer(const std::string& name, std::uint64_t& out, std::uint64_t low,
                 std::uint64_t high) {
        key(name, [&](const toml::node& node) -> std::string {
            const auto value = node.value_exact<std::int64_t>();
            if (!value || *value < 0 || static_cast<std::uint64_t>(*value) < low ||
                static_cast<std::uint64_t>(*value) > high) {
                return "a whole number from " + std::to_string(low) + " to " + std::to_string(high);
            }
            out = static_cast<std::uint64_t>(*value);
            return "";
        });
    }
    void size(const std::string& name, std::uint64_t& out, std::uint64_t least) {
        key(name, [&](const toml::node& node) -> std::string {
            const auto value = node.value_exact<std::string>();
            const auto parsed = value ? base::parse_size(*value) : base::fail(errc::bad_config, "");
            if (!parsed || *parsed < least) {
                return "a size like 2GiB, at least " + base::human_size(least);
            }
            out = *parsed;
            return "";
        });
    }
    std::optional<double> percent(const toml::node& node) const {
        const auto value = node.value_exact<std::string>();
        if (!value || !value->ends_with('%')) return std::nullopt;
        auto number = value->substr(0, value->size() - 1);
        while (number.ends_with(' ')) number.pop_back();
        const auto real = base::parse_real(number);
        if (!real || *real < 0 || *real > 100) return std::nullopt;
        return *real / 100;
    }
    void strings(const std::string& name, std::vector<std::string>& out) {
        key(name, [&](const toml::node& node) -> std::string {
            const auto* array = node.as_array();
            if (!array) return "a list of texts";
            std::vector<std::string> values;
            for (const auto& item : *array) {
                const auto value = item.value_exact<std::string>();
                if (!value) return "a list of texts";
                values.push_back(*value);
            }
            out = std::move(values);
            return "";
        });
    }
    void truth(const std::string& name, bool& out) {
        key(name, [&](const toml::node& node) -> std::string {
            const auto value = node.value_exact<bool>();
            if (!value) return "true or false";
            out = *value;
            return "";
        });
    }
    void span(const std::string& name, base::duration& out, base::duration low,
              base::duration high) {
        key(name, [&](const toml::node& node) -> std::string {
            const auto value = node.value_exact<std::string>();
            const auto parsed =
                value ? base::parse_duration(*value) : base::fail(errc::bad_config, "");
            if (!parsed || *parsed < low || *parsed > high) {
                return "a time like 90s, 2min or 3h, from " + base::human_duration(low) + " to " +
                       base::human_duration(high);
            }
            out = *parsed;
            return "";
        });
    }
    void unknown_keys() { walk(root_, ""); }
    const std::vector<std::pair<std::uint32_t, std::string>>& faults() const { return faults_; }
    void fault(std::uint32_t line, const std::string& name, const std::string& what) {
        faults_.emplace_back(
            line, std::string(file_) + ":" + std::to_string(line) + " " + name + ": " + what);
    }

private:
    static std::string shown(const toml::node& node) {
        if (const auto s = node.value_exact<std::string>()) return "\"" + *s + "\"";
        if (const auto i = node.value_exact<std::int64_t>()) return std::to_string(*i);
        if (const auto d = node.value_exact<double>()) return base::shortest(*d);
        if (const auto b = node.value_exact<bool>()) return *b ? "true" : "false";
        return node.is_table() ? "a table" : node.is_array() ? "a list" : "another kind of value";
    }
    void walk(const toml::table& table, const std::string& prefix) {
        for (const auto& [key, value] : table) {
            const std::string name = prefix + std::string(key.str());
            if (known_.contains(name)) continue;
            const auto line = key.source().begin.line;
            if (std::find(lacking.begin(), lacking.end(), name) != lacking.end()) {
                fault(line, name, "is not in this version");
            } else if (const auto* inner = value.as_table();
                       inner &&
                       std::any_of(known_.begin(), known_.end(), [&](const std::string& k) {
                           return k.starts_with(name + ".");
                       })) {
                walk(*inner, name + ".");
            } else if (inner &&
                       std::any_of(lacking.begin(), lacking.end(),
                                   [&](std::string_view k) { return k.starts_with(name + "."); })) {
                walk(*inner, name + ".");
            } else {
                fault(line, name, "unknown key; `tequio config show` lists those there are");
            }
        }
    }

    const toml::table& root_;
    std::string_view file_;
    node_config& config_;
    std::set<std::string> known_;
    std::vector<std::pair<std::uint32_t, std::string>> faults_;
};

/// Threads as a share or a number from `least`, which is 0 or 1.
void read_threads(reader& in, const std::string& name, std::uint64_t least, limit& out) {
    in.key(name, [&](const toml::node& node) -> std::string {
        const auto share = in.percent(node);
        const auto count = node.value_exact<std::int64_t>();
        if (share && (*share > 0 || least == 0)) {
            out = {*share, {}};
        } else if (count && *count >= static_cast<std::int64_t>(least) && *count <= 1024) {
            out = {0, static_cast<std::uint64_t>(*count)};
        } else {
            return std::string("a share like \"50 %\"") + (least == 0 ? "" : " above 0 and") +
                   " up to 100 %, or a number of threads from " + std::to_string(least) +
                   " to 1024";
        }
        return "";
    });
}

/// Memory as a share (0 only where `zero`) or an amount.
void read_memory(reader& in, const std::string& name, bool zero, limit& out) {
    in.key(name, [&](const toml::node& node) -> std::string {
        if (const auto share = in.percent(node); share && (*share > 0 || zero)) {
            out = {*share, {}};
            return "";
        }
        const auto value = node.value_exact<std::string>();
        const auto size = value ? base::parse_size(*value) : base::fail(errc::bad_config, "");
        if (!size || *size < std::uint64_t{64} << 20) {
            return std::string("a share like \"50 %\"") + (zero ? "" : " above 0") +
                   ", or a size of at least 64MiB";
        }
        out = {0, *size};
        return "";
    });
}

void read_limits(reader& in, node_config& config) {
    read_threads(in, "limits.idle.threads", 1, config.threads);
    read_memory(in, "limits.idle.memory", false, config.memory);
    read_threads(in, "limits.in_use.threads", 0, config.in_use_threads);
    read_memory(in, "limits.in_use.memory", true, config.in_use_memory);
    in.size("limits.disk", config.disk_bytes, std::uint64_t{64} << 20);
    in.key("limits.keep_free", [&](const toml::node& node) -> std::string {
        const auto share = in.percent(node);
        if (!share || *share > 0.95) return "a share from \"0 %\" to \"95 %\"";
        config.disk_keep_free = *share;
        return "";
    });
}

void read_idle(reader& in, node_config& config) {
    in.span("idle.after", config.idle_after, std::chrono::seconds(1), std::chrono::hours(24));
    in.strings("idle.programs", config.idle_programs);
    in.key("idle.programs", [&](const toml::node&) -> std::string {
        const auto fits = [](const std::string& name) {
            return !name.empty() && name.size() <= 64 && name.find('/') == std::string::npos;
        };
        const auto& list = config.idle_programs;
        if (list.size() <= 64 && std::all_of(list.begin(), list.end(), fits)) return "";
        return "at most 64 names of programs without their folders, like [\"steam\", \"mpv\"]";
    });
}

void read_schedule(reader& in, node_config& config) {
    in.key("schedule", [&](const toml::node& node) -> std::string {
        schedule hours;
        std::string refused;
        const auto add = [&](const toml::node& item) {
            const auto text = item.value_exact<std::string>();
            if (!text) {
                refused = "a text like \"22:00-07:00\", or a list of them";
            } else if (*text == "always") {
                hours = {};
            } else if (const auto added = hours.add(*text); !added) {
                refused =
                    (node.is_array() ? "in \"" + *text + "\": " : "") + added.error().message();
            }
            return refused.empty();
        };
        const auto* list = node.as_array();
        if (!list) {
            add(node);
        } else {
            for (const auto& item : *list) {
                if (!add(item)) break;
            }
        }
        if (refused.empty()) config.hours = std::move(hours);
        return refused;
    });
}

void read_power(reader& in, node_config& config) {
    in.truth("power.on_battery", config.work_on_battery);
    in.key("power.max_temperature", [&](const toml::node& node) -> std::string {
        const auto value = node.value_exact<std::string>();
        const auto celsius = value && value->ends_with('C')
                                 ? base::parse_real(value->substr(0, value->size() - 1))
                                 : std::nullopt;
        if (!celsius || *celsius < 40 || *celsius > 110) {
            return "a temperature from \"40C\" to \"110C\"";
        }
        config.celsius_max = *celsius;
        return "";
    });
}

void read_accept(reader& in, node_config& config) {
    std::vector<std::string> submitters;
    in.strings("accept.submitters", submitters);
    in.key("accept.submitters", [&](const toml::node&) -> std::string {
        for (const auto& hex : submitters) {
            const auto key = base::parse_id<base::public_key>(hex);
            if (!key) return "a list of submitters' public keys, 64 hexadecimal digits each";
            config.accept.submitters.push_back(*key);
        }
        return "";
    });
    in.strings("accept.licenses", config.accept.licenses);
    in.integer("accept.max_parameters", config.accept.max_parameters, 1, std::uint64_t{1} << 40);
    in.integer("accept.jobs_per_submitter", config.jobs_per_submitter, 1, 1000);
    in.size("accept.disk_per_submitter", config.disk_per_submitter, std::uint64_t{1} << 20);
    in.integer("accept.hours_per_job", config.hours_per_job, 1, 24 * 366);
}

constexpr const char* address_form = "HOST:PORT, like \"example.org:47100\" or \"[::1]:47100\"";

void read_network(reader& in, node_config& config) {
    in.key("network.listen", [&](const toml::node& node) -> std::string {
        const auto value = node.value_exact<std::string>();
        if (!value || !p2p::parse_address(*value)) return address_form;
        config.listen = *value;
        return "";
    });
    in.strings("network.peers", config.peers);
    in.key("network.peers", [&](const toml::node&) -> std::string {
        const auto bad =
            std::find_if(config.peers.begin(), config.peers.end(), [](const auto& text) {
                const auto parsed = p2p::parse_address(text);
                return !parsed || parsed->port == 0;
            });
        if (bad == config.peers.end()) return "";
        return std::string(address_form) + " each (\"" + *bad + "\" is not)";
    });
    in.key("network.upload_limit", [&](const toml::node& node) -> std::string {
        const auto value = node.value_exact<std::string>();
        const auto rate = value ? base::parse_rate(*value) : base::fail(errc::bad_config, "");
        if (!rate || *rate < 64'000) return "a rate of at least 64kbit/s, like 8Mbit/s";
        config.upload_limit_bits = *rate;
        return "";
    });
    const auto unlimited_or_rate = [&](const std::string& name, std::optional<std::uint64_t>& out,
                                       const char* allowed) {
        in.key(name, [&](const toml::node& node) -> std::string {
            const auto value = node.value_exact<std::string>();
            const auto rate = value ? base::parse_rate(*value) : base::fail(errc::bad_config, "");
            if (value != "unlimited" && (!rate || *rate < 64'000)) return allowed;
            out = value == "unlimited" ? std::optional<std::uint64_t>() : *rate;
            return "";
        });
    };
    unlimited_or_rate("network.metered", config.metered_bits,
                      "a rate of at least 64kbit/s, or \"unlimited\" to ignore that it is metered");
    unlimited_or_rate("network.download_limit", config.download_limit_bits,
                      "a rate of at least 64kbit/s, like 20Mbit/s, or \"unlimited\"");
    in.key("network.monthly_traffic", [&](const toml::node& node) -> std::string {
        const auto value = node.value_exact<std::string>();
        const auto size = value ? base::parse_size(*value) : base::fail(errc::bad_config, "");
        if (value != "unlimited" && (!size || *size < std::uint64_t{1} << 20)) {
            return "a size of at least 1MiB, like 200GiB, or \"unlimited\"";
        }
        config.monthly_traffic_bytes =
            value == "unlimited" ? std::optional<std::uint64_t>() : *size;
        return "";
    });
}

std::string shown(const limit& l, bool bytes) {
    if (l.amount) return bytes ? base::human_size(*l.amount) : std::to_string(*l.amount);
    return base::shortest(l.share * 100) + " %";
}

}  // namespace

std::uint64_t limit::of(std::uint64_t all, std::uint64_t least) const {
    const auto wanted =
        amount ? *amount : static_cast<std::uint64_t>(std::floor(share * static_cast<double>(all)));
    return std::max(least, std::min(wanted, all));
}

std::vector<std::pair<std::string, std::string>> config_values(const node_config& c) {
    const auto joined = [](const std::vector<std::string>& list) {
        std::string out;
        for (const auto& item : list) out += (out.empty() ? "" : ", ") + item;
        return out.empty() ? "any" : out;
    };
    const auto rate = [](const std::optional<std::uint64_t>& bits) {
        return bits ? std::to_string(*bits) + "bit/s" : "unlimited";
    };
    std::vector<std::string> submitters;
    for (const auto& key : c.accept.submitters) submitters.push_back(key.hex());
    return {{"accept.disk_per_submitter", base::human_size(c.disk_per_submitter)},
            {"accept.hours_per_job", std::to_string(c.hours_per_job)},
            {"accept.jobs_per_submitter", std::to_string(c.jobs_per_submitter)},
            {"accept.licenses", joined(c.accept.licenses)},
            {"accept.max_parameters", std::to_string(c.accept.max_parameters)},
            {"accept.submitters", joined(submitters)},
            {"idle.after", base::human_duration(c.idle_after)},
            {"idle.programs", c.idle_programs.empty() ? "none" : joined(c.idle_programs)},
            {"limits.disk", base::human_size(c.disk_bytes)},
            {"limits.idle.memory", shown(c.memory, true)},
            {"limits.idle.threads", shown(c.threads, false)},
            {"limits.in_use.memory", shown(c.in_use_memory, true)},
            {"limits.in_use.threads", shown(c.in_use_threads, false)},
            {"limits.keep_free", base::shortest(c.disk_keep_free * 100) + " %"},
            {"log.format", c.log_format},
            {"log.level", c.log_level},
            {"network.download_limit", rate(c.download_limit_bits)},
            {"network.listen", c.listen.value_or("loopback, a free port")},
            {"network.metered", rate(c.metered_bits)},
            {"network.monthly_traffic",
             c.monthly_traffic_bytes ? base::human_size(*c.monthly_traffic_bytes) : "unlimited"},
            {"network.peers", c.peers.empty() ? "none" : joined(c.peers)},
            {"network.upload_limit", std::to_string(c.upload_limit_bits) + "bit/s"},
            {"power.max_temperature", base::shortest(c.celsius_max) + "C"},
            {"power.on_battery", c.work_on_battery ? "true" : "false"},
            {"schedule", c.hours.text()}};
}

base::result<node_config> parse_node_config(std::string_view text, std::string_view file_name) {
    const auto parsed = toml::parse(text);
    if (!parsed) {
        const auto& e = parsed.error();
        return fail(errc::bad_config, std::string(file_name) + ":" +
                                          std::to_string(e.source().begin.line) + ": " +
                                          std::string(e.description()));
    }
    node_config config;
    reader in(parsed.table(), file_name, config);
    read_network(in, config);
    read_limits(in, config);
    read_idle(in, config);
    read_schedule(in, config);
    read_power(in, config);
    read_accept(in, config);
    in.text("log.level", config.log_level, {"error", "warn", "info", "debug"});
    in.text("log.format", config.log_format, {"text", "json"});
    in.unknown_keys();
    if (in.faults().empty()) return config;
    auto faults = in.faults();
    std::sort(faults.begin(), faults.end());
    std::string sentence;
    for (const auto& [line, what] : faults) sentence += (sentence.empty() ? "" : "\n") + what;
    return fail(errc::bad_config, sentence);
}

}  // namespace tequio::node
