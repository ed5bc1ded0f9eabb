#include "node/io/governor_loop.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <ctime>
#include <thread>

#include "base/text.hpp"
#include "node/core/errc.hpp"
#include "node/governor/probes/waiting.hpp"

namespace tequio::node {
namespace {

/// Bytes a second while the machine is given back: enough to stay a peer (guess: 64 kbit/s).
constexpr std::uint64_t trickle_bytes_per_second = 8'000;
/// While the owner's pause holds and nothing is held any more: readings only keep `status` true.
constexpr auto paused_look = std::chrono::seconds(10);
constexpr auto fresh_look = std::chrono::milliseconds(250);
constexpr auto workerless_look = std::chrono::milliseconds(200);

/// Both clocks, and the local time that schedules are written in.
governor::moment moment_now() {
    const std::time_t wall = std::time(nullptr);
    std::tm local{};
    ::localtime_r(&wall, &local);
    return {probe_now(), base::unix_time{wall}, static_cast<unsigned>((local.tm_wday + 6) % 7),
            static_cast<unsigned>(local.tm_hour * 60 + local.tm_min)};
}

/// What `--always` looks at: the processors, and what others use of them.
governor_signals processors_alone(const governor_signals& seen) {
    governor_signals out;
    out.processors = std::max(1u, std::thread::hardware_concurrency());
    out.processors_watched = seen.processors_watched;
    out.foreground_cpu = seen.foreground_cpu;
    out.memory_bytes = physical_memory();
    out.idle_source = "none (--always)";
    return out;
}

/// Of a node that always works: a thread that steals a compiler's gaps costs it caches, so others'
/// use takes all threads but the last one.
governor_tuning always_tuning() {
    governor_tuning out;
    out.cpu_busy_leaves = 1;
    return out;
}

}  // namespace

governor_loop::governor_loop(boost::asio::io_context& io, job_workers& workers, options o, hooks h)
    : io_(io), timer_(io), workers_(workers), options_(std::move(o)), hooks_(std::move(h)) {
    options_.config = effective(std::move(options_.config));
    machine_probe::options p;
    if (!options_.always) p.programs = options_.config.idle_programs;
    probe_.emplace(std::move(p));
    const auto at = moment_now();
    protection_ = options_.always;
    governor_.emplace(options_.config, protection_, at,
                      options_.always ? always_tuning() : governor_tuning{});
    signals_ = gather(at.now, at.wall);
    workers_.limit(threads_limit(), memory_limit());
    workers_.allow_threads(0);
    if (!options_.always) watch_bus();
}

governor_loop::~governor_loop() = default;

node_config governor_loop::effective(node_config config) const {
    if (options_.threads != 0) config.threads = {0, options_.threads};
    return config;
}

unsigned governor_loop::threads_limit() const {
    return static_cast<unsigned>(options_.config.threads.of(signals_.processors, 1));
}

std::uint64_t governor_loop::memory_limit() const {
    return options_.config.memory.of(signals_.memory_bytes, worker_memory_least);
}

governor_signals governor_loop::gather(base::time_point now, base::unix_time wall) {
    const auto processes = workers_.processes();
    auto out = probe_->read(now, wall, outside(now), processes.empty() ? 0 : processes.front());
    if (options_.always) out = processors_alone(out);
    if (options_.test_input) {
        out.idle_source = "test";
        out.since_input.reset();
        if (pretended_) out.since_input = now - *pretended_;
    }
    return out;
}

ladder_facts governor_loop::workers_now(const job_workers::use& used) const {
    ladder_facts out;
    out.running = used.running;
    out.busy = used.busy;
    out.cpu = used.cpu;
    out.held_bytes = [this] { return workers_.held_bytes(); };
    return out;
}

void governor_loop::look() {
    const auto at = moment_now();
    signals_ = gather(at.now, at.wall);
    governor_->wish(at, hooks_.wish());
    const auto& allowed = governor_->handle(at, signals_);
    const auto used = workers_.usage();
    const auto ladder_sees = ladder_facts_of(allowed, workers_now(used), used.memory_bytes);
    std::vector<ladder_effect> effects;
    ladder_.handle(at.now, ladder_sees, effects);
    if (const auto took = watch_.handle(at.now, ladder_sees)) hooks_.gave_back(at.wall, *took);
    shown_ = allowed;
    if (ladder_sees.threads != allowed.threads) {
        shown_.threads = ladder_sees.threads;
        shown_.reason = "the job at work needs " + base::human_size(used.memory_bytes) +
                        " of memory, " + base::human_size(allowed.memory_bytes) +
                        " are allowed now; " + allowed.reason;
    }
    for (const auto& e : effects) act(e);
    limit_upload();
    tell_changes();
    arm(at.wall);
}

void governor_loop::tell_changes() {
    const auto& changes = governor_->history();
    const auto count = governor_->history_count();
    const auto fresh = std::min<std::uint64_t>(count - changes_told_, changes.size());
    changes_told_ = count;
    for (auto i = changes.size() - fresh; i < changes.size(); ++i) {
        hooks_.say(std::string(reason_code_name(changes[i].code)) + ": " + changes[i].reason);
        hooks_.changed(changes[i]);
    }
}

/// How long a reading of the machine stays good enough.
base::duration governor_loop::pace(base::time_point now, base::unix_time wall) const {
    const auto level = ladder_.level();
    const bool paused = shown_.code == reason_code::paused_by_owner;  // its end is told
    if (paused && level == release_level::ended) {
        if (!shown_.until) return paused_look;
        const base::duration left = std::chrono::seconds(shown_.until->seconds - wall.seconds);
        return std::clamp<base::duration>(left, std::chrono::seconds(1), paused_look);
    }
    auto out = governor_->next_deadline() - now;
    // An owner who leaves soon after coming is noticed soon; one who stays is looked at rarely.
    const bool fresh = level == release_level::parked || level == release_level::suspended;
    if (fresh && !paused) out = std::min<base::duration>(out, fresh_look);
    // Without a worker there is nothing to give back; its start takes longer than this.
    if (!workers_.usage().running) out = std::max<base::duration>(out, workerless_look);
    return out;
}

void governor_loop::arm(base::unix_time wall) {
    const auto now = probe_now();
    // What the ladder and the watch wait for is due however seldom the machine is read.
    const auto due =
        std::min({now + pace(now, wall), ladder_.next_deadline(), watch_.next_deadline()});
    timer_.expires_after(std::max<base::duration>(due - now, std::chrono::milliseconds(1)));
    timer_.async_wait([this](boost::system::error_code ec) {
        if (!ec) look();
    });
}

void governor_loop::act(const ladder_effect& e) {
    if (const auto* gate = std::get_if<set_gate>(&e)) {
        workers_.allow_threads(gate->threads);
    } else if (std::holds_alternative<freeze_workers>(e)) {
        workers_.freeze();
    } else if (std::holds_alternative<thaw_workers>(e)) {
        workers_.thaw();
    } else if (const auto* trickle = std::get_if<set_trickle>(&e)) {
        trickle_ = trickle->on;
    } else if (const auto* told = std::get_if<tell_crews>(&e)) {
        hooks_.tell_crews(told->level);
    } else if (std::holds_alternative<hand_back_memory>(e)) {
        const auto held = workers_.usage(true).resident_bytes;
        if (held > 0) hooks_.say("handing back memory: workers hold " + base::human_size(held));
        workers_.hand_back_memory();
    } else if (const auto* ended = std::get_if<end_workers>(&e)) {
        end_workers_for(ended->why);
    } else if (workers_.release_states()) {
        hooks_.say("the states of jobs are let go of, to be made again from their means");
    }
}

void governor_loop::end_workers_for(end_cause why) {
    if (why == end_cause::over_limit) {
        hooks_.say("the worker ends: " + base::human_size(workers_.held_bytes()) +
                   " are held, limits.in_use.memory leaves " +
                   base::human_size(shown_.parked_memory_bytes));
    } else if (why == end_cause::memory_short) {
        hooks_.say("the worker ends: others need its memory");
    }
    workers_.end_all();
}

void governor_loop::limit_upload() {
    auto rate = shown_.upload_bytes_per_second;
    if (trickle_)
        rate = rate == 0 ? trickle_bytes_per_second : std::min(rate, trickle_bytes_per_second);
    if (upload_set_ == rate) return;
    upload_set_ = rate;
    hooks_.limit_upload(rate);
}

void governor_loop::agent_said(const report_origin& from, const agent_report& report) {
    agents_.take(probe_now(), from, report);
    look();
}

/// The probe calls on a thread of its own; what it says is taken up on this one.
void governor_loop::watch_bus() {
    bus_probe::callbacks calls;
    calls.changed = [this](const bus_facts& facts) {
        boost::asio::post(io_, [this, facts] { bus_said(facts); });
    };
    calls.say = [this](const std::string& line) {
        boost::asio::post(io_, [this, line] { hooks_.say(line); });
    };
    bus_ = std::make_unique<bus_probe>(std::move(calls));
}

void governor_loop::bus_said(const bus_facts& facts) {
    bus_said_ = facts;
    look();
    if (!facts.preparing_for_sleep.value_or(false)) return;
    // The ladder has just frozen or ended the workers. Only the word to the other nodes, behind
    // what has to be on disk before it, still holds the machine up: without it they would wait
    // until this one has been silent for a while.
    hooks_.when_sent([this] { bus_->ready_to_sleep(); });
}

outside_facts governor_loop::outside(base::time_point now) const {
    outside_facts out;
    out.agents = agents_.fresh(now);
    out.locked = bus_said_.locked;
    out.idle_hint = bus_said_.idle_hint;
    if (bus_said_.idle_since) out.idle_for = now - *bus_said_.idle_since;
    out.metered = bus_said_.metered;
    out.preparing_for_sleep = bus_said_.preparing_for_sleep.value_or(false);
    out.released = shown_.threads == 0 || workers_.processes().empty();
    return out;
}

base::result<void> governor_loop::pretend_input(base::duration idle) {
    if (!options_.test_input) {
        return fail(errc::refused,
                    "input is pretended only to a daemon that was started for tests");
    }
    pretended_ = probe_now() - idle;
    look();
    return {};
}

void governor_loop::configure(const node_config& config) {
    options_.config = effective(config);
    governor_->configure(options_.config);
    if (!options_.always) probe_->set_programs(options_.config.idle_programs);
    workers_.limit(threads_limit(), memory_limit());
    look();
}

void governor_loop::set_protection(bool holds) {
    if (options_.always || std::exchange(protection_, holds) == holds) return;
    governor_->set_protection(holds);
    look();
}

governor_view governor_loop::view() const {
    governor_view out;
    out.allowed = shown_;
    out.level = ladder_.level();
    out.threads_limit = threads_limit();
    out.idle_source = signals_.idle_source;
    out.workers = workers_.usage(true);
    return out;
}

}  // namespace tequio::node
