#pragma once

/// The inside of the daemon: carries out what `node_logic` wants, in order, and hands it what
/// happened. Private to node/io.

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/json/object.hpp>
#include <deque>

#include "ledger/store.hpp"
#include "node/core/node_logic.hpp"
#include "node/governor/give_back_record.hpp"
#include "node/governor/history_record.hpp"
#include "node/io/api_server.hpp"
#include "node/io/blob_store.hpp"
#include "node/io/daemon.hpp"
#include "node/io/governor_loop.hpp"
#include "node/io/job_workers.hpp"
#include "node/io/key_value_store.hpp"
#include "node/io/service_notify.hpp"
#include "node/io/storage_thread.hpp"
#include "node/worker/control_group.hpp"
#include "node/worker/protection_probe.hpp"
#include "p2p/data_dir.hpp"
#include "p2p/transport.hpp"

namespace tequio::node {

class daemon_loop {
public:
    explicit daemon_loop(daemon_options options) : options_(std::move(options)) {}

    /// Opens everything and runs until it is told to stop.
    base::result<void> run();

    // For the API (node/io/api.cpp), on the network thread.
    moment now() const;
    node_logic& logic() { return *logic_; }
    p2p::transport& links() { return *transport_; }
    blob_store& blobs() { return *blobs_; }
    storage_thread& storage() { return *storage_; }
    const job_workers& workers() const { return *workers_; }
    const p2p::identity& self() const { return *identity_; }
    const p2p::address& listening() const { return listening_; }
    const std::optional<p2p::membership>& swarm() const { return swarm_; }
    const daemon_options& options() const { return options_; }
    /// How well others are protected from the workers, as measured; none in the first moments.
    const std::optional<protection_report>& protection() const { return protection_; }
    governor_loop& share() { return *governor_; }
    const governor_loop& share() const { return *governor_; }
    /// How quickly the machine was given back, over the last days.
    const give_back_record& given_back() const { return given_back_; }
    /// What the governor did, restarts of the daemon included.
    const history_record& history() const { return history_; }
    /// What links have carried in this month, restarts of the daemon included.
    traffic_sum traffic_this_month() const;
    /// What is wrong with the configuration that was read last; empty when it is in force.
    const std::string& config_fault() const { return config_fault_; }
    /// Keys of it that count from the next start on, because they cannot change while the node
    /// runs, as "network.listen (127.0.0.1:47100 until then)"; empty when all of it is in force.
    const std::string& needs_restart() const { return needs_restart_; }
    /// Reads the configuration again. A bad one changes nothing. Errors: what is wrong with it.
    base::result<void> reload();
    /// What people are told while the disk is full; empty when it is not.
    std::string disk_full_reason() const;
    /// Since when it is full.
    const std::optional<base::unix_time>& full_since() const { return full_since_; }
    /// Carries out and removes what lets blobs go, ahead of all that waits for room: it makes some.
    void drop_at_once(node_effects& effects);
    bool exact() const { return exact_; }
    /// Carries out what a command to `logic()` wanted, then calls `then`: what the command
    /// remembered is durable by then.
    void carry_out(node_effects effects, std::function<void()> then = {});
    /// Joins or founds a swarm: kept, met from now on.
    base::result<void> enter_swarm(p2p::membership swarm);
    base::result<void> leave_swarm();
    /// Ends once everything in hand is finished.
    void stop_when_drained() { stop_when_drained_ = true; }
    void stop(const std::string& why);

private:
    /// The first signal drains (see `daemon.hpp`), the second ends the loop.
    void await_signal();
    void drain_and_stop(base::duration patience);
    void measure_protection();
    void on_protection(protection_report report);
    base::result<void> open_data();
    base::result<void> open_stores();
    /// Opens the ledger, again if it was open. Errors: as `ledger::store::open`.
    base::result<void> open_ledger();
    base::result<void> open_links();
    base::result<void> open_api();
    node_logic_config logic_config() const;
    void handle(node_event e);
    void pump();
    node_effect next_effect();
    void answer_waiting();
    void arm_timer();
    void open_governor();
    std::string status_line() const;  ///< for a service manager
    void gave_back(base::unix_time at, base::duration took);
    void changed(const governor_change& change);
    /// Stores what nobody was promised: nothing has to wait until it is on disk.
    void note_down(std::vector<store_change> changes);
    void load_records();
    /// Upload and download, as the configuration and the governor say.
    void limit_rates();

    // What links carry (daemon_network.cpp).

    /// Adds what links have carried since the last look; `keep` makes all of it durable.
    void count_traffic(bool keep);
    /// Tells the logic whether `network.monthly_traffic` is used up.
    void hold_traffic_to_limit();
    /// Both, now and every few seconds.
    void watch_traffic();
    void look_at_connection();
    void await_reload(boost::asio::signal_set& hangup);
    void configure(node_config config);
    disk_bounds disk() const {
        return {options_.config.disk_bytes, options_.config.disk_keep_free};
    }
    void meet_seeds();
    base::result<void> meet(const std::vector<std::string>& peers);
    void log(const log_line& line);
    void fail(const base::error& e);

    void act(p2p::link_send& e);
    void act(p2p::dial& e);
    void act(p2p::close_link& e);
    void act(p2p::read_piece& e);
    void act(p2p::store_piece& e);
    void act(look_up_blob& e);
    void act(confirm_blob& e);
    void act(put_blob& e);
    void act(drop_blob& e);
    void act(keep& e);
    void act(forget_bucket& e);
    void act(ledger_write& e);
    void act(begin_compute& e) { workers_->begin(e); }
    void act(stop_compute& e) { workers_->stop(e.task); }
    void act(team_deliver& e) { workers_->deliver(e); }
    void act(team_credit& e) { workers_->credit(e); }
    void act(open_compute& e) { workers_->open(e); }
    void act(close_compute& e) { workers_->close(e.task); }
    void act(export_model& e) { workers_->export_final(e); }
    void act(log_line& e) { log(e); }
    /// Runs `work` on the storage thread and holds back every later effect until it is done
    /// (node_logic.hpp, rule 1). On a full disk it is run again once there is room.
    void hold_for(std::function<base::result<void>()> work);

    // A full disk (daemon_disk.cpp).
    /// `work`, before the loop runs: again every second while it fails and the disk is full.
    base::result<void> with_room(const std::function<base::result<void>()>& work);

    struct ledger_batch {
        std::vector<ledger::store_write> writes;
        std::vector<std::uint64_t> requests;
    };
    void store(std::shared_ptr<const p2p::store_piece> piece);
    void commit(std::shared_ptr<const ledger_batch> batch);
    base::result<std::vector<ledger::write_outcome>> write_to_ledger(
        std::span<const ledger::store_write> writes);
    /// Tells the logic how full the disk is, now and every 10 s.
    void look_at_disk();
    /// No effect is carried out from now on; `then` runs, once, when there is room again.
    void wait_for_room(std::function<void()> then);
    void look_for_room();
    /// What waits for room is bounded: beyond that the node stops.
    void bound_outbox();

    daemon_options options_;
    boost::asio::io_context io_{1};
    std::optional<p2p::data_dir_lock> lock_;
    std::optional<p2p::identity> identity_;
    std::optional<p2p::membership> swarm_;
    std::unique_ptr<blob_store> blobs_;
    std::unique_ptr<key_value_store> memory_;
    std::unique_ptr<ledger::store> ledger_;
    node_memory found_;
    bool exact_ = true;  ///< the self-test at the start passed
    slice_room room_;
    p2p::address listening_;

    std::unique_ptr<node_logic> logic_;
    std::unique_ptr<p2p::transport> transport_;
    std::unique_ptr<storage_thread> storage_;
    worker_group group_;
    std::unique_ptr<job_workers> workers_;
    protection_probe probe_;
    /// Watches the probe's descriptor, which the probe owns.
    std::unique_ptr<boost::asio::posix::stream_descriptor> probe_watch_;
    std::optional<protection_report> protection_;
    std::unique_ptr<governor_loop> governor_;
    give_back_record given_back_;
    history_record history_;
    traffic_record traffic_;
    traffic_sum traffic_seen_;    ///< of the transport's counts, at the last look
    traffic_sum traffic_unkept_;  ///< counted, and not in `traffic_` yet
    unsigned traffic_looks_ = 0;
    std::optional<traffic_used_up> used_up_;  ///< as told to the logic
    std::string config_fault_, needs_restart_;
    std::unique_ptr<api_server> api_;
    std::unique_ptr<api_server> agent_door_;  ///< if there is one
    std::unique_ptr<boost::asio::steady_timer> timer_;
    boost::asio::signal_set signals_{io_};
    boost::asio::steady_timer drain_timer_{io_};
    std::unique_ptr<service_notify> manager_;  ///< the service manager, if there is one
    std::deque<node_effect> outbox_;
    std::uint64_t effects_in_ = 0;   ///< ever put into the outbox
    std::uint64_t effects_out_ = 0;  ///< ever taken out of it
    /// Who waits for effects below that number to be done, oldest first.
    std::deque<std::pair<std::uint64_t, std::function<void()>>> waiting_;
    std::optional<base::unix_time> full_since_;
    std::vector<std::function<void()>> waiting_for_room_;
    boost::asio::steady_timer disk_timer_{io_}, room_timer_{io_}, traffic_timer_{io_};
    std::uint64_t governed_upload_ = 0;  ///< bytes a second that the governor allows; 0: no limit
    bool holding_ = false;
    bool stopping_ = false;
    bool signalled_ = false;
    bool stop_when_drained_ = false;
    std::optional<base::error> failure_;
};

/// How what is asked about the store is answered: JSON, or why not.
using store_answer = std::function<void(base::result<boost::json::object>)>;
/// GET store, POST store/prune (node/io/store_api.cpp).
void show_store(daemon_loop& daemon, const store_answer& respond);
void prune_store(daemon_loop& daemon, const boost::json::object& body, const store_answer& respond);
/// Answers one API request; routes in node/io/api.cpp.
void answer_api(daemon_loop& daemon, api_request request,
                std::function<void(api_response)> respond);
/// The same on the door for agents of other users: takes their reports and nothing else.
void answer_agent(daemon_loop& daemon, const api_request& request,
                  const std::function<void(api_response)>& respond);

}  // namespace tequio::node
