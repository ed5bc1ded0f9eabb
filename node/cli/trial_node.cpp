#include "node/cli/trial_node.hpp"

#include <poll.h>
#include <stdlib.h>

#include <boost/json.hpp>
#include <cerrno>
#include <system_error>

#include "node/cli/api_client.hpp"
#include "node/cli/context.hpp"
#include "node/cli/process_meter.hpp"
#include "node/io/files.hpp"
#include "training/job_file.hpp"

namespace tequio::node {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::uint64_t text_bytes = 200'000;

/// A lane takes some ten seconds, a micro-batch a tenth of one: like small jobs of people.
constexpr std::string_view job_text = R"([job]
name = "interference"
purpose = "a measurement of this machine"
data_license = "CC0-1.0"
model_license = "CC0-1.0"
readers = "swarm"
[model]
family = "gpt2"
layers = 4
heads = 6
width = 384
context = 128
[data]
files = ["text"]
tokenizer = "bytes"
validation = 0.01
[train]
method = "diloco"
lanes = 4
rounds = 100000
inner_steps = 100
batch = 8
micro_batch = 8
window = -40
inner = { optimizer = "adamw", lr = 4e-4, betas = [0.9, 0.95], weight_decay = 0.1, clip = 1.0, ramp_steps = 10 }
outer = { optimizer = "nesterov", lr = 0.7, momentum = 0.9 }
schedule = { warmup = 100, decay = "cosine", final = 0.1 }
codec = "mxint8"
codec_down = "mxint8"
numerics = "exact/1"
seed = 1
[trust]
deadline = "7d"
[keep]
copies = 1
days = 1
)";

/// `keep_free`: a measurement is no reason to refuse a full disk. `disk`: no run comes near the
/// job's end, for which all its rounds would count. `after`: one input lasts for the
/// longest build.
constexpr std::string_view config_text = R"([limits]
keep_free = "0 %"
disk = "4TiB"
[limits.idle]
threads = "100 %"
[idle]
after = "1h"
[accept]
disk_per_submitter = "4TiB"
)";

/// Letters and spaces that no two of which tell the next one.
std::string made_up_text() {
    std::string out;
    std::uint64_t word = 1;
    while (out.size() < text_bytes) {
        word = word * 6364136223846793005U + 1442695040888963407U;  // Knuth's MMIX
        out += "abcdefghijklmnopqrstuvwxyz     \n"[word >> 59];
    }
    return out;
}

}  // namespace

void wait_a_little(int ms) {
    ::poll(nullptr, 0, ms);
}

base::error was_interrupted() {
    return ends_with(exit_code::interrupted, "interrupted");
}

training::bench_preset trial_node::work() {
    training::bench_preset out{"interference", {"gpt2", 4, 6, 384, 128, 256}, 8};
    training::fill_model_defaults(out.model);
    return out;
}

base::result<trial_node> trial_node::create() {
    std::error_code ec;
    auto base_folder = std::filesystem::temp_directory_path(ec);
    // The path of the API's socket must be short.
    if (ec || base_folder.string().size() > 60) base_folder = "/tmp";
    auto path = (base_folder / "tequio-bench.XXXXXX").string();
    if (::mkdtemp(path.data()) == nullptr) {
        return base::fail(base::errc::io_failure,
                          path + ": " + std::generic_category().message(errno));
    }
    trial_node out{path};
    TEQUIO_CHECK(out.write_files());
    return out;
}

trial_node::trial_node(trial_node&& other) noexcept
    : folder_(std::exchange(other.folder_, {})),
      daemon_(std::move(other.daemon_)),
      submitted_(other.submitted_) {}

trial_node::~trial_node() {
    if (folder_.empty()) return;
    stop();
    std::error_code ec;
    std::filesystem::remove_all(folder_, ec);
}

base::result<void> trial_node::write_files() const {
    TEQUIO_CHECK(write_file(folder_ / "job.toml", base::as_bytes(job_text)));
    return write_file(folder_ / "text", base::as_bytes(made_up_text()));
}

std::vector<std::pair<std::string, std::string>> trial_node::environment() const {
    return {{"TEQUIO_DATA_DIR", data().string()},
            {"XDG_CONFIG_HOME", (folder_ / "config").string()},
            {"XDG_RUNTIME_DIR", (folder_ / "runtime").string()},
            {"TEQUIO_TEST_IDLE", "1"}};
}

base::result<void> trial_node::start(trial_policy policy) {
    constexpr auto patience = std::chrono::seconds(20);
    stop();
    const auto config = folder_ / "node.toml";
    TEQUIO_CHECK(write_file(config, base::as_bytes(config_text)));
    const auto log = (folder_ / "log").string();
    child_options how;
    how.arguments = {own_program(), "node", "--listen", "127.0.0.1:0", "--config", config.string()};
    if (policy == trial_policy::forced) how.arguments.emplace_back("--always");
    how.environment = environment();
    how.output = log;
    how.own_session = true;
    TEQUIO_TRY(daemon_, child_process::start(how));
    const auto end = clock::now() + patience;
    while (!api_client::connect(data())) {
        if (interrupted()) return was_interrupted();
        if (clock::now() > end || daemon_.wait(milliseconds(20))) {
            const auto said = read_file(log, 1 << 20);
            return ends_with(exit_code::failure, "the node for the measurement does not start: " +
                                                     (said ? *said : std::string("no log")));
        }
    }
    if (submitted_) return {};
    TEQUIO_CHECK(submit());
    submitted_ = true;
    return {};
}

base::result<void> trial_node::submit() const {
    constexpr auto patience = std::chrono::seconds(30);
    const auto log = (folder_ / "submit.log").string();
    child_options how;
    how.arguments = {own_program(), "job", "submit", (folder_ / "job.toml").string(), "--quiet"};
    how.environment = environment();
    how.output = log;
    TEQUIO_TRY(auto child, child_process::start(how));
    const auto status = child.wait(patience);
    if (interrupted()) return was_interrupted();
    if (status == 0) return {};
    const auto said = read_file(log, 1 << 20);
    return ends_with(exit_code::failure, "the job for the measurement is not taken: " +
                                             (said ? *said : std::string("no answer")));
}

void trial_node::stop() {
    const auto workers = children_of_daemon();
    constexpr auto patience = std::chrono::seconds(5);
    daemon_.end(patience);
    // Their end follows the daemon's, at their own low priority.
    const auto end = clock::now() + std::chrono::seconds(5);
    for (const auto worker : workers) {
        while (!has_ended(worker) && clock::now() < end) wait_a_little(5);
    }
}

std::vector<pid_t> trial_node::children_of_daemon() const {
    return running() ? children_of(daemon()) : std::vector<pid_t>{};
}

double trial_node::worker_seconds() const {
    double sum = 0;
    for (const auto worker : workers()) sum += used_seconds(worker);
    return sum;
}

base::result<void> trial_node::wait_for_work(double share, milliseconds patience) const {
    const auto end = clock::now() + patience;
    while (clock::now() < end) {
        if (interrupted()) return was_interrupted();
        const double before = worker_seconds();
        const auto start = clock::now();
        wait_a_little(100);
        const double span = std::chrono::duration<double>(clock::now() - start).count();
        if (worker_seconds() - before >= share * span) return {};
    }
    const auto says = status();
    return ends_with(exit_code::timed_out,
                     "the node for the measurement does not work: " +
                         (says && says->contains("reason") && says->at("reason").is_string()
                              ? std::string(says->at("reason").as_string())
                              : std::string("it does not answer")));
}

bool trial_node::wait_for_all_threads(milliseconds steady, milliseconds patience) const {
    const auto end = clock::now() + patience;
    auto last_short = clock::now();  // when fewer were seen last
    while (clock::now() < end && !interrupted()) {
        const auto says = status();
        if (!says) return false;
        const auto* now = says->if_contains("threads");
        const auto* limit = says->if_contains("threads_limit");
        if (now == nullptr || limit == nullptr) return false;
        if (*now != *limit) last_short = clock::now();
        if (clock::now() - last_short >= steady) return true;
        wait_a_little(200);
    }
    return false;
}

base::result<void> trial_node::last_input(milliseconds ago) const {
    TEQUIO_TRY(auto client, api_client::connect(data()));
    TEQUIO_TRY(const auto answer,
               client.request("PUT", "/api/v1/test/idle",
                              "{\"idle_ms\":" + std::to_string(ago.count()) + "}"));
    (void)answer;
    return {};
}

base::result<void> trial_node::pause() const {
    TEQUIO_TRY(auto client, api_client::connect(data()));
    TEQUIO_TRY(const auto answer, client.request("POST", "/api/v1/pause", "{}"));
    (void)answer;
    return {};
}

base::result<boost::json::object> trial_node::status() const {
    TEQUIO_TRY(auto client, api_client::connect(data()));
    TEQUIO_TRY(auto answer, client.request_json("GET", "/api/v1/status"));
    if (!answer.is_object()) return base::fail(client_errc::broken, "the status is no object");
    return std::move(answer.as_object());
}

}  // namespace tequio::node
