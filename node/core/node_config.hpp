#pragma once

/// A node's configuration: TOML by its owner, never rewritten by us. Flag beats environment beats
/// file beats default. Keys of INTERFACE.md that this version lacks are refused by name.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "node/core/schedule.hpp"
#include "training/task.hpp"

namespace tequio::node {

/// A limit as its owner writes it: a share of what the machine has, or an amount.
struct limit {
    double share = 0;                     ///< 0..1; counts when `amount` is empty
    std::optional<std::uint64_t> amount;  ///< threads or bytes
    /// The amount on a machine that has `all`, at least `least`.
    std::uint64_t of(std::uint64_t all, std::uint64_t least) const;
    bool operator==(const limit&) const = default;
};

struct node_config {
    std::optional<std::string> listen;  ///< absent: loopback, a free port
    std::vector<std::string> peers;     ///< host:port
    std::uint64_t upload_limit_bits = 8'000'000;
    std::optional<std::uint64_t> download_limit_bits;  ///< a second; absent: none
    /// Sent and received together in a calendar month; absent: any.
    std::optional<std::uint64_t> monthly_traffic_bytes = std::uint64_t{200} << 30;
    /// Upload on a metered connection, bits a second; absent: as on any other.
    std::optional<std::uint64_t> metered_bits = 64'000;
    limit threads{1.0, {}};        ///< `limits.idle.threads`
    limit memory{0.5, {}};         ///< `limits.idle.memory`
    limit in_use_threads{0, 0};    ///< `limits.in_use.threads`; 0: nothing is computed
    limit in_use_memory{0.1, {}};  ///< `limits.in_use.memory`
    /// The machine counts as in use this long after input; 1 s at least.
    base::duration idle_after = std::chrono::minutes(2);
    /// Names of programs (as `ps -o comm` shows them) while which the machine counts as in use.
    std::vector<std::string> idle_programs;
    schedule hours;                ///< `schedule`
    bool work_on_battery = false;  ///< `power.on_battery`
    double celsius_max = 85;       ///< `power.max_temperature`
    std::uint64_t disk_bytes = std::uint64_t{10} << 30;
    double disk_keep_free = 0.15;  ///< share of the file system that stays free
    training::task_policy accept;
    std::uint64_t jobs_per_submitter = 4;
    std::uint64_t disk_per_submitter = std::uint64_t{5} << 30;
    std::uint64_t hours_per_job = 168;
    std::string log_level = "info";
    std::string log_format = "text";

    /// Where each key's value came from ("default", "FILE:LINE"), by full key name.
    std::map<std::string, std::string> origin;
};

/// Every key this version reads with its value as text, in order of name; for `config show`.
std::vector<std::pair<std::string, std::string>> config_values(const node_config& config);

/// Reads a file's text over `defaults`. Errors: `errc::bad_config`, one line a fault:
/// `config.toml:3 limits.idle.threads: found "101 %", allowed: ...`.
base::result<node_config> parse_node_config(std::string_view text, std::string_view file_name);

}  // namespace tequio::node
