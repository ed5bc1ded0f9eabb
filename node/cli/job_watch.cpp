#include "node/cli/job_watch.hpp"

#include <poll.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <set>

#include "base/text.hpp"
#include "node/cli/json_text.hpp"

namespace tequio::node {
namespace {

using boost::json::object;

constexpr int poll_every_ms = 300;

double number_of(const object& job, const char* key) {
    const auto* value = job.if_contains(key);
    return value && value->is_number() ? value->to_number<double>() : 0;
}

bool flag_of(const object& job, const char* key) {
    const auto* value = job.if_contains(key);
    return value && value->is_bool() && value->as_bool();
}

std::size_t crew_of(const object& job) {
    const auto* value = job.if_contains("crew");
    return value && value->is_array() ? value->as_array().size() : 0;
}

std::string bar(double share, int width) {
    std::string out = "[";
    for (int i = 0; i < width; ++i) out += i < static_cast<int>(share * width + 0.5) ? '=' : ' ';
    return out + "]";
}

/// Decides when to print: a terminal is redrawn always, elsewhere a line a change of round or
/// state.
class painter {
public:
    explicit painter(const cli_context& context)
        : context_(context), terminal_(context.may_draw(STDERR_FILENO)) {}

    void show(const object& job) {
        const auto round = static_cast<std::uint64_t>(number_of(job, "round"));
        const auto state = json_text(job, "state");
        if (context_.quiet) return;
        warn(job);
        if (terminal_) {
            const double rounds = number_of(job, "rounds");
            std::fprintf(stderr, "\r\033[K%s %s",
                         bar(rounds > 0 ? number_of(job, "round") / rounds : 0, 20).c_str(),
                         job_line(job).c_str());
            std::fflush(stderr);
        } else if (round != round_ || state != state_) {
            std::fprintf(stderr, "%s\n", job_line(job).c_str());
        }
        round_ = round;
        state_ = state;
    }
    void finish() const {
        if (terminal_ && !context_.quiet) std::fprintf(stderr, "\n");
    }

private:
    /// Tells of each kind of trouble once; its numbers go on changing.
    void warn(const object& job) {
        const auto* list = job.if_contains("warnings");
        if (list == nullptr || !list->is_array()) return;
        for (const auto& item : list->as_array()) {
            if (!item.is_string()) continue;
            const std::string text(item.as_string());
            if (!told_.insert(text.substr(0, text.find(':'))).second) continue;
            std::fprintf(stderr, "%stequio: %s\n", terminal_ ? "\r\033[K" : "", text.c_str());
        }
    }

    const cli_context& context_;
    bool terminal_;
    std::set<std::string> told_;
    std::uint64_t round_ = ~std::uint64_t{0};
    std::string state_;
};

base::result<object> job_of(api_client& daemon, const std::string& id) {
    TEQUIO_TRY(auto value, daemon.request_json("GET", "/api/v1/jobs/" + id));
    if (!value.is_object())
        return base::fail(client_errc::broken, "the daemon's answer is not a job");
    return std::move(value.as_object());
}

/// Polls until `done(job)`; the daemon may restart meanwhile.
template <class Done>
base::result<object> follow(cli_context& context, api_client& daemon, const std::string& id,
                            Done done) {
    catch_interrupts();
    painter paint(context);
    for (;;) {
        TEQUIO_TRY(auto job, job_of(daemon, id));
        paint.show(job);
        if (done(job)) {
            paint.finish();
            return job;
        }
        if (interrupted()) {
            paint.finish();
            return ends_with(
                exit_code::interrupted,
                "stopped watching; the job goes on (tequio job watch " + id.substr(0, 12) + ")");
        }
        // Waits for nothing but time or a signal: Ctrl-C ends it at once.
        ::poll(nullptr, 0, poll_every_ms);
    }
}

bool ended(const object& job) {
    const auto state = json_text(job, "state");
    return state == "done" || state == "failed" || state == "cancelled";
}

}  // namespace

std::string job_line(const object& job) {
    char numbers[160];
    std::snprintf(numbers, sizeof numbers, "round %.0f of %.0f, settled %.0f, loss %.4f",
                  number_of(job, "round"), number_of(job, "rounds"),
                  number_of(job, "settled_round"), number_of(job, "loss"));
    std::string line = json_text(job, "state") + ": " + numbers;
    if (const double loss = number_of(job, "validation_loss"); loss > 0) {
        std::snprintf(numbers, sizeof numbers, ", validation %.4f", loss);
        line += numbers;
    }
    if (const double speed = number_of(job, "tokens_per_second"); speed > 0) {
        std::snprintf(numbers, sizeof numbers, ", %.0f ", speed);
        const auto unit = json_text(job, "counted_as");
        line += numbers + (unit.empty() ? "tokens" : unit) + "/s";
    }
    line += ", crew " + std::to_string(crew_of(job));
    if (const double left = number_of(job, "eta_seconds"); left > 0) {
        line += ", about " +
                base::human_duration(std::chrono::seconds(static_cast<std::int64_t>(left))) +
                " left";
    }
    if (const auto reason = json_text(job, "reason"); !reason.empty()) line += " (" + reason + ")";
    return line;
}

base::result<void> watch_job(cli_context& context, api_client& daemon, const std::string& id) {
    TEQUIO_TRY(auto job, follow(context, daemon, id, ended));
    const auto state = json_text(job, "state");
    if (state != "done") {
        return ends_with(exit_code::job_failed, "job " + id.substr(0, 12) + " " + state +
                                                    (json_text(job, "reason").empty() ? "" : ": ") +
                                                    json_text(job, "reason"));
    }
    if (context.json) {
        context.print_json("job", std::move(job));
    } else {
        std::printf("done: state digest %s, checked %.0f %%\n",
                    json_text(job, "state_digest").c_str(), 100 * number_of(job, "checked_share"));
    }
    return {};
}

base::result<void> wait_until_safe_to_leave(cli_context& context, api_client& daemon,
                                            const std::string& id) {
    TEQUIO_TRY(const auto job, follow(context, daemon, id, [](const object& j) {
                   return flag_of(j, "safe_to_leave") || ended(j);
               }));
    if (!flag_of(job, "safe_to_leave")) {
        return ends_with(exit_code::job_failed,
                         "job " + id.substr(0, 12) + " ended before others held its data");
    }
    context.say(
        "Safe to leave: " + std::to_string(static_cast<int>(number_of(job, "data_copies"))) +
        " nodes hold all that the job needs.");
    return {};
}

}  // namespace tequio::node
