#include "node/io/daemon_loop.hpp"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <boost/asio/post.hpp>
#include <thread>

#include "base/text.hpp"
#include "node/core/errc.hpp"
#include "node/governor/probes/memory_probe.hpp"
#include "node/governor/probes/waiting.hpp"
#include "node/io/log_format.hpp"
#include "node/worker/sandbox.hpp"
#include "training/exactness.hpp"

namespace tequio::node {
namespace {

namespace asio = boost::asio;

constexpr std::uint16_t default_port = 47100;
constexpr auto shutdown_grace = std::chrono::seconds(2);
/// A service manager asks for the end within 10 s of SIGTERM, peers' good-byes included. Whoever
/// presses Ctrl-C is waiting.
constexpr auto terminate_patience = std::chrono::seconds(7);
constexpr auto interrupt_patience = std::chrono::seconds(2);

/// Any user of the machine may knock here. An agent keeps one connection, reports 20 times a second
/// at most, and is heard from every 5 s; the rest are guesses with room to spare.
const api_limits agent_door_limits{
    .mode = 0666,
    .locked = false,
    .connections_max = 64,
    .connections_of_user_max = 4,
    .head_bytes_max = 2048,
    .body_bytes_max = agent_report_max_bytes,
    .patience = std::chrono::seconds(15),
    .requests_of_user = 25,
    .accept_pause = std::chrono::milliseconds(10),
};

base::unix_time wall_now() {
    return {std::chrono::duration_cast<std::chrono::seconds>(
                std::chrono::system_clock::now().time_since_epoch())
                .count()};
}

}  // namespace

moment daemon_loop::now() const {
    return {probe_now(), wall_now()};
}

base::result<void> daemon_loop::open_data() {
    TEQUIO_TRY(auto lock, p2p::data_dir_lock::acquire(options_.data_dir));
    lock_.emplace(std::move(lock));
    return with_room([this] { return open_stores(); });
}

base::result<void> daemon_loop::open_stores() {
    TEQUIO_TRY(auto identity, p2p::load_or_create_identity(options_.data_dir));
    identity_.emplace(std::move(identity));
    TEQUIO_TRY(auto swarms, p2p::load_memberships(options_.data_dir));
    if (!swarms.empty()) swarm_ = std::move(swarms.front());
    TEQUIO_TRY(blobs_, blob_store::open(options_.data_dir / "blobs", disk()));
    TEQUIO_TRY(memory_, key_value_store::open(options_.data_dir / "node.db"));
    TEQUIO_TRY(auto items, memory_->load_all());
    for (auto& item : items) {
        found_.emplace(std::make_pair(std::move(item.bucket), std::move(item.key)),
                       std::move(item.value));
    }
    load_records();
    return open_ledger();
}

void daemon_loop::load_records() {
    const auto take = [this](auto& record) {
        const auto bucket = std::make_pair(std::string(record.bucket), std::string());
        for (auto it = found_.lower_bound(bucket);
             it != found_.end() && it->first.first == bucket.first; ++it) {
            // For its owner to read: what cannot be read is not worth refusing to start for.
            if (const auto taken = record.restore(it->first.second, it->second); !taken) {
                spdlog::warn("{}", taken.error().message());
            }
        }
    };
    take(given_back_);
    take(history_);
    take(traffic_);
}

node_logic_config daemon_loop::logic_config() const {
    node_logic_config config;
    config.swarm = swarm_ ? swarm_->id : base::swarm_id{};
    config.exactness = training::exactness_identity();
    config.accept = options_.config.accept;
    config.accept.max_data_bytes =
        std::min(config.accept.max_data_bytes, options_.config.disk_per_submitter);
    config.jobs_per_submitter = options_.config.jobs_per_submitter;
    config.hours_per_job = options_.config.hours_per_job;
    config.disk = {options_.config.disk_bytes, options_.config.disk_per_submitter,
                   options_.config.disk_keep_free};
    config.room = room_;
    config.exact = exact_;
    return config;
}

base::result<void> daemon_loop::open_links() {
    p2p::transport_config config;
    config.swarm = swarm_;
    config.exactness = training::exactness_identity();
    config.upload_limit = 0;  // set by `limit_rates`
    TEQUIO_TRY(transport_,
               p2p::transport::create(io_, *identity_, std::move(config),
                                      [this](p2p::network_event e) { handle(std::move(e)); }));
    auto where = options_.listen ? options_.listen : options_.config.listen;
    if (!where) where = swarm_ ? "[::]:" + std::to_string(default_port) : "127.0.0.1:0";
    TEQUIO_TRY(const auto address, p2p::parse_address(*where));
    TEQUIO_TRY(listening_, transport_->listen(address));
    TEQUIO_CHECK(meet(options_.config.peers));
    TEQUIO_CHECK(meet(options_.peers));
    if (swarm_) meet_seeds();
    handle(p2p::network_event(p2p::set_own_addresses{{listening_}}));
    return {};
}

void daemon_loop::meet_seeds() {
    for (const auto& seed : swarm_->seeds) handle(p2p::network_event(p2p::add_address{seed}));
}

base::result<void> daemon_loop::meet(const std::vector<std::string>& peers) {
    for (const auto& text : peers) {
        TEQUIO_TRY(const auto peer, p2p::parse_address(text));
        handle(p2p::network_event(p2p::add_address{peer}));
    }
    return {};
}

base::result<void> daemon_loop::open_api() {
    TEQUIO_TRY(api_, api_server::listen(
                         io_, options_.data_dir / "api.sock",
                         [this](api_request request, std::function<void(api_response)> respond) {
                             answer_api(*this, std::move(request), std::move(respond));
                         }));
    if (options_.agent_socket.empty()) return {};
    TEQUIO_TRY(agent_door_, api_server::listen(
                                io_, options_.agent_socket,
                                [this](const api_request& request,
                                       const std::function<void(api_response)>& respond) {
                                    answer_agent(*this, request, respond);
                                },
                                agent_door_limits));
    spdlog::info("session agents of all users are heard at {}", options_.agent_socket.string());
    return {};
}

base::result<void> daemon_loop::run() {
    auto logger = spdlog::stderr_color_mt("tequio");
    spdlog::set_default_logger(logger);
    set_log_format(options_.config.log_format);
    spdlog::set_level(options_.quiet ? spdlog::level::err
                                     : spdlog::level::from_str(options_.config.log_level));

    TEQUIO_CHECK(open_data());
    training::serial_executor alone;
    constexpr auto dispatched = training::self_test_scope::dispatched;
    if (const auto tested = training::exactness_self_test(alone, dispatched); !tested) {
        exact_ = false;
        spdlog::error("{}; this node takes no exact work", tested.error().message());
    }
    storage_ = std::make_unique<storage_thread>(io_);
    job_workers::options limits;
    const auto processors = std::max(1u, std::thread::hardware_concurrency());
    limits.threads = options_.threads != 0
                         ? options_.threads
                         : static_cast<unsigned>(options_.config.threads.of(processors, 1));
    limits.memory_bytes = options_.config.memory.of(physical_memory(), worker_memory_least);
    room_ = {limits.memory_bytes,
             [limits](const training::task& task, training::model_slice slice) {
                 return job_workers::need_bytes(task, slice, limits);
             }};
    group_ = worker_group::make(limits.memory_bytes + worker_overhead_bytes(limits.threads));
    limits.group = group_.folder();
    workers_ = std::make_unique<job_workers>(io_, *storage_, *blobs_, std::move(limits),
                                             [this](node_event e) { handle(std::move(e)); });
    TEQUIO_TRY(auto offers, ledger_->open_offers());
    logic_ =
        std::make_unique<node_logic>(logic_config(), *identity_, std::move(found_),
                                     std::move(offers), now(), base::rng(p2p::fresh_entropy()));
    timer_ = std::make_unique<asio::steady_timer>(io_);
    look_at_disk();
    TEQUIO_CHECK(open_links());
    TEQUIO_CHECK(open_api());
    open_governor();
    spdlog::info("node {} listens on {} (data dir {}, {} threads)", identity_->node().hex(),
                 listening_.text(), options_.data_dir.string(), governor_->threads_limit());

    boost::system::error_code unknown_signal;
    for (const int number : {SIGINT, SIGTERM}) signals_.add(number, unknown_signal);
    await_signal();
    asio::signal_set hangup(io_, SIGHUP);
    await_reload(hangup);
    manager_ = std::make_unique<service_notify>(io_, [this] { return status_line(); });
    manager_->ready();
    measure_protection();
    handle(node_tick{});
    watch_traffic();
    io_.run();
    signals_.cancel();
    hangup.cancel();
    manager_.reset();
    if (probe_watch_) probe_watch_->release();

    count_traffic(true);
    std::vector<store_change> last;
    for (auto& k : logic_->unkept_traffic()) last.push_back({k.bucket, k.key, std::move(k.value)});
    if (!last.empty()) note_down(std::move(last));
    api_.reset();
    agent_door_.reset();
    governor_.reset();
    workers_->shut_down();
    // Finishes what was handed in: receipts and facts are durable when this returns.
    storage_.reset();
    transport_.reset();
    if (failure_) return *failure_;
    return {};
}

void daemon_loop::await_signal() {
    signals_.async_wait([this](boost::system::error_code ec, int number) {
        if (ec) return;
        if (std::exchange(signalled_, true)) {
            spdlog::warn("second signal: stopping at once");
            return io_.stop();
        }
        await_signal();
        drain_and_stop(number == SIGINT ? interrupt_patience : terminate_patience);
    });
}

void daemon_loop::drain_and_stop(base::duration patience) {
    // Paused work would never end: it is given back at once.
    const bool paused = governor_->view().allowed.threads == 0;
    if (!stopping_ && !paused) {
        spdlog::info("signal: finishing the work in hand, {} at most",
                     base::human_duration(patience));
        stop_when_drained_ = true;
        node_effects effects;
        logic_->drain(now(), effects);
        manager_->stopping();
        drain_timer_.expires_after(patience);
        drain_timer_.async_wait([this](boost::system::error_code ec) {
            if (!ec) stop("signal; other nodes take over the work in hand");
        });
        return carry_out(std::move(effects));
    }
    manager_->stopping();
    stop("signal");
}

void daemon_loop::measure_protection() {
    const auto started = probe_.start("/proc/self/exe", group_.folder());
    if (!started) {
        return on_protection({cpu_protection::none, -1, started.error().message()});
    }
    probe_watch_ = std::make_unique<asio::posix::stream_descriptor>(io_, probe_.native_handle());
    probe_watch_->async_wait(asio::posix::stream_descriptor::wait_read,
                             [this](boost::system::error_code ec) {
                                 if (ec) return;
                                 probe_watch_->release();
                                 probe_watch_.reset();
                                 on_protection(probe_.take());
                             });
}

void daemon_loop::on_protection(protection_report report) {
    if (group_.folder().empty()) report.how += "; " + group_.how();
    protection_ = std::move(report);
    spdlog::log(may_work_in_use(protection_->kind) ? spdlog::level::info : spdlog::level::warn,
                "processor protection: {} ({})", cpu_protection_name(protection_->kind),
                protection_->how);
    governor_->set_protection(may_work_in_use(protection_->kind));
}

std::string daemon_loop::status_line() const {
    const auto allowed = governor_->view().allowed;
    return allowed.threads == 0 ? allowed.reason : logic_->activity().reason;
}

void daemon_loop::open_governor() {
    governor_loop::hooks hooks;
    hooks.wish = [this] { return logic_->owner(); };
    hooks.tell_crews = [this](release_level level) { handle(machine_released{level}); };
    hooks.when_sent = [this](std::function<void()> then) { carry_out({}, std::move(then)); };
    hooks.limit_upload = [this](std::uint64_t rate) {
        governed_upload_ = rate;
        limit_rates();
    };
    hooks.say = [](const std::string& line) { spdlog::info("{}", line); };
    hooks.changed = [this](const governor_change& change) { changed(change); };
    hooks.gave_back = [this](base::unix_time at, base::duration took) { gave_back(at, took); };
    governor_loop::options o{options_.config, options_.threads, options_.always,
                             options_.test_input};
    governor_ = std::make_unique<governor_loop>(io_, *workers_, std::move(o), std::move(hooks));
    governor_->look();
}

void daemon_loop::gave_back(base::unix_time at, base::duration took) {
    given_back_.add(at, took);
    constexpr std::int64_t days_kept = 2 * give_back_record::days_counted;
    const base::unix_time long_ago{at.seconds - days_kept * base::day_seconds};
    note_down({{std::string(give_back_record::bucket), give_back_record::key_of(at),
                given_back_.day_text(at)},
               {std::string(give_back_record::bucket), give_back_record::key_of(long_ago),
                std::nullopt}});
}

void daemon_loop::changed(const governor_change& change) {
    auto [key, text] = history_.add(change);
    note_down({{std::string(history_record::bucket), std::move(key), std::move(text)}});
}

void daemon_loop::note_down(std::vector<store_change> changes) {
    storage_->run([this, changes = std::move(changes)]() -> storage_thread::continuation {
        auto done = memory_->apply(changes);
        return [this, done = std::move(done)] {
            if (!done) fail(done.error());
        };
    });
}

void daemon_loop::await_reload(asio::signal_set& hangup) {
    hangup.async_wait([this, &hangup](boost::system::error_code ec, int) {
        if (ec) return;
        manager_->reloading();
        (void)reload();
        manager_->ready();
        await_reload(hangup);
    });
}

base::result<void> daemon_loop::reload() {
    if (!options_.reload) return base::fail(errc::refused, "this node was started without a file");
    auto config = options_.reload();
    if (!config) {
        config_fault_ = config.error().message();
        spdlog::error("the configuration stays as it was: {}", config_fault_);
        return config.error();
    }
    config_fault_.clear();
    configure(std::move(*config));
    spdlog::info("the configuration was read again{}",
                 needs_restart_.empty() ? "" : "; needs a restart: " + needs_restart_);
    return {};
}

void daemon_loop::configure(node_config config) {
    // What is in force stays in force: joining a swarm asks for it too.
    auto listen = options_.config.listen;
    needs_restart_.clear();
    if (!options_.listen && config.listen != listen) {
        needs_restart_ = "network.listen (" + listening_.text() + " until then)";
    }
    options_.config = std::move(config);
    options_.config.listen = std::move(listen);
    if (!options_.quiet) spdlog::set_level(spdlog::level::from_str(options_.config.log_level));
    set_log_format(options_.config.log_format);
    logic_->set_policy(logic_config());
    limit_rates();
    hold_traffic_to_limit();
    governor_->configure(options_.config);
    group_.bound(governor_->memory_limit() + worker_overhead_bytes(governor_->threads_limit()));
    storage_->run([this, bounds = disk()]() -> storage_thread::continuation {
        blobs_->set_bounds(bounds);
        return {};
    });
    // Those that are not named any more stay known, like all that were ever heard of.
    if (const auto met = meet(options_.config.peers); !met)
        spdlog::error("{}", met.error().message());
}

void daemon_loop::stop(const std::string& why) {
    if (stopping_) return;
    stopping_ = true;
    drain_timer_.cancel();
    spdlog::info("stopping: {}", why);
    api_->close();
    if (agent_door_) agent_door_->close();
    workers_->shut_down();
    transport_->shut_down();
    // Peers are told why; whoever does not listen is not waited for.
    timer_->expires_after(shutdown_grace);
    timer_->async_wait([this](boost::system::error_code) { io_.stop(); });
    const auto poll = std::make_shared<asio::steady_timer>(io_);
    const auto check = std::make_shared<std::function<void()>>();
    *check = [this, poll, weak = std::weak_ptr(check)] {
        if (transport_->statistics().empty() && !holding_) return io_.stop();
        poll->expires_after(std::chrono::milliseconds(20));
        poll->async_wait([self = weak.lock()](boost::system::error_code) {
            if (self) (*self)();
        });
    };
    (*check)();
}

void daemon_loop::handle(node_event e) {
    if (stopping_) return;
    node_effects effects;
    logic_->handle(now(), std::move(e), effects);
    carry_out(std::move(effects));
}

void daemon_loop::carry_out(node_effects effects, std::function<void()> then) {
    effects_in_ += effects.size();
    for (auto& effect : effects) outbox_.push_back(std::move(effect));
    if (then) waiting_.emplace_back(effects_in_, std::move(then));
    pump();
    arm_timer();
    bound_outbox();
    if (stop_when_drained_ && logic_->drained() && outbox_.empty() && !holding_) stop("drained");
}

void daemon_loop::pump() {
    while (!holding_ && !full_since_) {
        answer_waiting();
        if (outbox_.empty()) return;
        auto effect = next_effect();
        std::visit([this](auto& wanted) { act(wanted); }, effect);
    }
}

node_effect daemon_loop::next_effect() {
    auto effect = std::move(outbox_.front());
    outbox_.pop_front();
    ++effects_out_;
    return effect;
}

void daemon_loop::answer_waiting() {
    while (!waiting_.empty() && waiting_.front().first <= effects_out_) {
        const auto then = std::move(waiting_.front().second);
        waiting_.pop_front();
        then();
    }
}

void daemon_loop::arm_timer() {
    if (stopping_) return;
    const auto due = logic_->next_deadline();
    const auto current = probe_now();
    timer_->expires_after(due > current
                              ? std::min<base::duration>(due - current, std::chrono::seconds(60))
                              : base::duration::zero());
    timer_->async_wait([this](boost::system::error_code ec) {
        if (!ec) handle(node_tick{});
    });
}

void daemon_loop::fail(const base::error& e) {
    if (failure_) return;
    failure_ = e;
    spdlog::critical("{}", e.message());
    stop("it cannot store what it must remember");
}

void daemon_loop::log(const log_line& line) {
    switch (line.level) {
        case log_level::error:
            spdlog::error(line.text);
            break;
        case log_level::warn:
            spdlog::warn(line.text);
            break;
        case log_level::info:
            spdlog::info(line.text);
            break;
        case log_level::debug:
            spdlog::debug(line.text);
            break;
    }
}

void daemon_loop::act(p2p::link_send& e) {
    transport_->send(e.link, std::move(e.bytes), e.what);
}
void daemon_loop::act(p2p::dial& e) {
    transport_->dial(e.address, e.expected);
}
void daemon_loop::act(p2p::close_link& e) {
    transport_->close(e.link, e.ending);
}

void daemon_loop::act(p2p::read_piece& e) {
    storage_->run([this, e]() -> storage_thread::continuation {
        auto piece = blobs_->read_piece(e.ref, e.index);
        return [this, request = e.request, piece = std::move(piece)]() mutable {
            p2p::piece_read answer{request, {}};
            if (piece) answer.piece = std::move(*piece);
            handle(p2p::network_event(std::move(answer)));
        };
    });
}

void daemon_loop::act(p2p::store_piece& e) {
    store(std::make_shared<const p2p::store_piece>(std::move(e)));
}

void daemon_loop::act(look_up_blob& e) {
    storage_->run([this, ref = e.ref]() -> storage_thread::continuation {
        blob_looked_up answer{ref, blobs_->has(ref), {}};
        if (!answer.whole) {
            const bool begun = blobs_->is_arriving(ref);
            if (const auto room = blobs_->room_for(begun ? 0 : ref.size); !room) {
                answer.no_room = room.error().message();
            } else if (auto have = blobs_->pieces_present(ref)) {
                answer.have = std::move(*have);
            }
        }
        return [this, answer = std::move(answer)]() mutable { handle(std::move(answer)); };
    });
}

void daemon_loop::act(confirm_blob& e) {
    storage_->run([this, e]() -> storage_thread::continuation {
        if (!blobs_->has_pieces(e.ref, e.pieces)) {
            return [this, ref = e.ref] { handle(blob_lost{ref, "it could not be stored"}); };
        }
        blob_confirmed answer{e.ref, {}, e.pieces};
        if (e.deliver) {
            const auto file = blobs_->map(e.ref);
            if (!file)
                return [this, ref = e.ref, why = file.error().message()] {
                    handle(blob_lost{ref, why});
                };
            answer.bytes.assign(file->bytes().begin(), file->bytes().end());
        }
        return [this, answer = std::move(answer)]() mutable { handle(std::move(answer)); };
    });
}

void daemon_loop::act(put_blob& e) {
    hold_for([this, bytes = std::move(e.bytes)]() -> base::result<void> {
        TEQUIO_TRY(const auto ref, blobs_->put(bytes));
        (void)ref;
        return {};
    });
}

void daemon_loop::act(drop_blob& e) {
    storage_->run([this, ref = e.ref]() -> storage_thread::continuation {
        (void)blobs_->remove(ref);
        return {};
    });
}

void daemon_loop::act(keep& e) {
    // Group commit: what stands behind it in a row costs the same sync.
    std::vector<store_change> changes;
    changes.push_back({std::move(e.bucket), std::move(e.key), std::move(e.value)});
    while (!outbox_.empty() && std::holds_alternative<keep>(outbox_.front())) {
        auto next = std::get<keep>(next_effect());
        changes.push_back({std::move(next.bucket), std::move(next.key), std::move(next.value)});
    }
    hold_for([this, changes = std::move(changes)] { return memory_->apply(changes); });
}

void daemon_loop::act(forget_bucket& e) {
    hold_for([this, bucket = std::move(e.bucket)] {
        return memory_->apply({{bucket, std::nullopt, std::nullopt}});
    });
}

base::result<void> daemon_loop::enter_swarm(p2p::membership swarm) {
    if (swarm_ && swarm_->id != swarm.id) {
        return base::fail(errc::refused, "this node is in swarm " + swarm_->description.name +
                                             "; leave it first (tequio swarm leave)");
    }
    TEQUIO_CHECK(p2p::store_membership(options_.data_dir, swarm));
    transport_->set_swarm(swarm);
    logic_->set_swarm(swarm.id);
    swarm_ = std::move(swarm);
    meet_seeds();
    limit_rates();
    // Whoever chose an address keeps it; otherwise the node leaves loopback now.
    if (!options_.listen && !options_.config.listen) {
        TEQUIO_TRY(const auto everywhere,
                   p2p::parse_address("[::]:" + std::to_string(default_port)));
        TEQUIO_TRY(listening_, transport_->listen(everywhere));
    }
    return {};
}

base::result<void> daemon_loop::leave_swarm() {
    if (!swarm_) return base::fail(errc::refused, "this node is in no swarm");
    TEQUIO_CHECK(p2p::remove_membership(options_.data_dir, swarm_->id));
    swarm_.reset();
    transport_->set_swarm({});
    logic_->set_swarm({});
    return {};
}

base::result<void> run_daemon(const daemon_options& options) {
    return daemon_loop(options).run();
}

}  // namespace tequio::node
