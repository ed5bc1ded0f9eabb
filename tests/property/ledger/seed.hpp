#pragma once

#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cstdint>
#include <cstdlib>

namespace tequio::ledger::testing {

/// The seed of this run: TEQUIO_SEED, or a fresh one. Printed, so that a failure can be repeated.
inline std::uint64_t run_seed() {
    static const std::uint64_t seed = [] {
        const char* given = std::getenv("TEQUIO_SEED");
        const std::uint64_t chosen =
            given ? std::strtoull(given, nullptr, 10) : static_cast<std::uint64_t>(::getpid());
        std::printf("seed %llu; repeat with TEQUIO_SEED=%llu property_ledger\n",
                    static_cast<unsigned long long>(chosen),
                    static_cast<unsigned long long>(chosen));
        return chosen;
    }();
    return seed;
}

}  // namespace tequio::ledger::testing
