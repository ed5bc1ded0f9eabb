#pragma once

/// The worker's side of the conversation: reads commands, computes, reports.

#include <chrono>
#include <deque>
#include <map>
#include <memory>

#include "node/worker/channel.hpp"
#include "node/worker/job_runner.hpp"

namespace tequio::node {

/// Serves one daemon. Not thread-safe. As a `team_link`: the daemon carries what members of a team
/// say to one another.
class worker_session : private training::team_link {
public:
    /// `pool` outlives the session, which is the one that looks while it is parked.
    worker_session(channel link, compute_pool& pool, const runner_options& options);

    /// Sends a report; false once the daemon is gone or the message cannot be sent.
    bool report(const worker_report& message, int descriptor = -1);
    /// Serves until the daemon closes its end. Errors: a message that cannot be understood here.
    base::result<void> serve();

private:
    struct command {
        worker_command message;
        std::vector<unique_fd> descriptors;
    };
    base::result<std::optional<command>> next_command(channel_wait wait);
    base::result<void> obey(command c);
    void open_job(const worker_open_job& message, std::vector<unique_fd> descriptors);
    void begin(const compute_item& item);
    void report_done(std::uint64_t item, const item_result& result);
    bool keep_going(std::uint64_t steps);
    base::result<item_input> fetch_input(std::uint32_t index);
    void note_stop(command& c);
    base::result<void> send(std::uint64_t to, const training::team_tag& tag,
                            base::byte_vector bytes) override;
    base::result<training::team_message> receive(std::uint64_t from, const training::team_tag& tag,
                                                 std::uint64_t size) override;
    void blame(std::uint64_t member) override;
    /// Reads what the daemon says next, which is waited for. Errors: `errc::stopped`.
    base::result<void> await_team();
    void note_letter(const worker_team_in& letter, std::vector<unique_fd>& files);
    bool ended() const { return stop_asked_ || link_.closed() || !trouble_; }
    void look_while_parked();

    channel link_;
    compute_pool& pool_;
    runner_options options_;
    std::unique_ptr<job_runner> job_;

    /// What is under way between this member and another.
    struct member_mail {
        std::deque<std::shared_ptr<const team_letter>> in;
        std::uint64_t out = 0;  ///< sent, not taken yet
    };
    std::map<std::uint64_t, member_mail> mail_;  ///< of the item in hand

    std::uint64_t item_ = 0;                        ///< in hand; 0: none
    std::chrono::steady_clock::duration waited_{};  ///< of its time, for others of the team
    bool stop_asked_ = false;
    base::result<void> trouble_;  ///< what made the conversation impossible
    std::chrono::steady_clock::time_point next_progress_;
};

}  // namespace tequio::node
