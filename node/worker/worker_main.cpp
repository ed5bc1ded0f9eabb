#include "node/worker/worker_main.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>

#include "base/sha256.hpp"
#include "node/worker/cpu_protection.hpp"
#include "node/worker/sandbox.hpp"
#include "node/worker/worker_session.hpp"
#include "training/arithmetic.hpp"
#include "training/exactness.hpp"

namespace tequio::node {
namespace {

int give_up(const base::error& reason) {
    std::fprintf(stderr, "tequio worker: %s\n", reason.message().c_str());
    return 1;
}

/// Lets libraries read what they read at first use: inside the sandbox they could not.
void warm_up() {
    base::sha256(std::string_view());
    training::active_target();
}

base::result<void> serve(const worker_settings& settings) {
    // A library linked with fast-math may have spoiled it before main began.
    training::prepare_compute_thread();
    TEQUIO_CHECK(training::probe_arithmetic());
    training::set_research(settings.research);
    TEQUIO_TRY(auto gate_map, memory_map::of(worker_gate_descriptor, sizeof(thread_gate),
                                             memory_map::access::read_write));
    ::close(worker_gate_descriptor);
    auto* gate = reinterpret_cast<thread_gate*>(gate_map.writable().data());
    worker_ready ready;
    ready.threads = settings.threads;
    ready.cpu_protection = cpu_protection_name(inspect_cpu_protection().kind);
    ready.simd = training::active_target();
    TEQUIO_TRY(const auto landlock, forbid_opening());
    compute_pool pool(settings.threads, gate);
    const sandbox_limits limits{settings.memory_bytes, settings.threads};
    TEQUIO_CHECK(limit_resources(limits));
    TEQUIO_TRY(ready.sandbox, enter_sandbox(landlock));
    worker_session session(channel(unique_fd(worker_socket_descriptor)), pool,
                           {.memory_max_bytes = settings.memory_bytes,
                            .slices = settings.slices,
                            .recompute = settings.recompute});
    session.report(ready);
    return session.serve();
}

}  // namespace

int worker_main(const worker_settings& settings) {
    // Dies with the thread that started it, whatever else fails; and sees its socket close.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::prctl(PR_SET_NAME, "tequio-worker");
    if (settings.low_priority) lower_own_priority(settings.group);
    warm_up();
    const auto served = serve(settings);
    return served ? 0 : give_up(served.error());
}

}  // namespace tequio::node
