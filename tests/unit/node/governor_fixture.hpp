#pragma once

// A governor on a fake clock, and the readings of a quiet machine.

#include <string>

#include "node/governor/governor.hpp"

namespace tequio::node {

struct governor_bench {
    node_config config;
    bool protection = true;
    governor::moment at{base::time_point(std::chrono::hours(1)), {1'700'000'000}, 2, 12 * 60};
    governor_signals signals = quiet();
    governor subject{config, protection, at};

    explicit governor_bench(node_config c = {}, bool protected_ = true,
                            const governor_tuning& tuning = {})
        : config(std::move(c)), protection(protected_), subject(config, protection, at, tuning) {}

    /// Four processors, 8 GiB of which 6 are free, nobody about for an hour.
    static governor_signals quiet() {
        governor_signals s;
        s.processors = 4;
        s.memory_bytes = std::uint64_t{8} << 30;
        s.since_input = std::chrono::hours(1);
        s.idle_source = "x11";
        s.full_screen = false;
        s.memory_available_bytes = std::uint64_t{6} << 30;
        s.on_battery = false;
        s.celsius = 50;
        s.metered = false;
        return s;
    }
    /// The signals now.
    const allowance& read() {
        const auto& a = subject.handle(at, signals);
        subject.check();
        return a;
    }
    /// Goes on for `d` with readings every 50 ms; input grows older.
    const allowance& run(base::duration d) {
        const auto end = at.now + d;
        while (at.now < end) step(std::chrono::milliseconds(50));
        return subject.current();
    }
    const allowance& step(base::duration d) {
        const auto whole = std::chrono::floor<std::chrono::seconds>(at.now.time_since_epoch());
        at.now += d;
        const auto now_whole = std::chrono::floor<std::chrono::seconds>(at.now.time_since_epoch());
        at.wall.seconds += (now_whole - whole).count();
        if (signals.since_input) *signals.since_input += d;
        return read();
    }
};

}  // namespace tequio::node
