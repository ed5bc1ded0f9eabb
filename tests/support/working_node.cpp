#include "tests/support/working_node.hpp"

#include <poll.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <iterator>

#include "node/cli/api_client.hpp"
#include "node/cli/process_meter.hpp"
#include "node/cli/statistics.hpp"

namespace tequio::tests {
namespace {

using clock = std::chrono::steady_clock;

constexpr std::string_view config_text = R"([limits]
keep_free = "0 %"
disk = "1GiB"
[limits.idle]
threads = 1
[idle]
after = "2s"
)";

constexpr std::string_view job_text = R"([job]
name = "desktop"
purpose = "a test"
data_license = "CC0-1.0"
model_license = "CC0-1.0"
readers = "swarm"
[model]
family = "gpt2"
layers = 4
heads = 4
width = 128
context = 64
[data]
files = ["text"]
tokenizer = "bytes"
validation = 0.02
[train]
method = "diloco"
lanes = 4
rounds = %
inner_steps = %
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
deadline = "1d"
[keep]
copies = 1
days = 1
)";

double now_seconds() {
    return std::chrono::duration<double>(clock::now().time_since_epoch()).count();
}

}  // namespace

working_node::working_node(const std::filesystem::path& folder, const setup& how)
    : folder_(folder / how.name), data_(folder_ / "data") {
    std::filesystem::create_directories(data_);
    std::ofstream(folder_ / "node.toml") << config_text;
    const auto nowhere = "unix:path=" + (folder_ / "nowhere").string();
    environment_ = {
        "TEQUIO_DATA_DIR=" + data_.string(), "XDG_CONFIG_HOME=" + (folder_ / "config").string(),
        "DBUS_SYSTEM_BUS_ADDRESS=" + (how.system_bus.empty() ? nowhere : how.system_bus)};
    std::vector<std::string> command{TEQUIO_PROGRAM, "node",     "--listen",
                                     "127.0.0.1:0",  "--config", (folder_ / "node.toml").string()};
    if (!how.peer.empty()) command.insert(command.end(), {"--peer", how.peer});
    daemon_ = std::make_unique<child_process>(command, environment_, folder_ / "node.log");
    BOOST_REQUIRE_MESSAGE(becomes(seconds(20), [&] { return !status().empty(); }), log());
    if (how.peer.empty() && how.rounds > 0) submit(how);
}

void working_node::submit(const setup& how) const {
    std::string job(job_text);
    for (const int number : {how.rounds, how.inner_steps}) {
        job.replace(job.find('%'), 1, std::to_string(number));
    }
    std::ofstream(folder_ / "job.toml") << job;
    std::string text;
    while (text.size() < 60'000) text += "ta ke no mi ri so lu wen. pa tor shi ga\n";
    std::ofstream(folder_ / "text") << text;
    child_process command({TEQUIO_PROGRAM, "job", "submit", (folder_ / "job.toml").string()},
                          environment_, folder_ / "submit.log");
    BOOST_REQUIRE_MESSAGE(becomes(seconds(30), [&] { return !command.running(); }),
                          command.output());
}

std::string working_node::replayed(const std::string& task) const {
    child_process command({TEQUIO_PROGRAM, "job", "replay", task, "--json"}, environment_,
                          folder_ / "replay.log");
    BOOST_REQUIRE(becomes(seconds(120), [&] { return !command.running(); }));
    const auto said = command.output();
    const auto from = said.find('{');
    if (from == std::string::npos) return {};
    boost::system::error_code wrong;
    const auto answer = boost::json::parse(said.substr(from, said.find('\n', from) - from), wrong);
    const auto* digest =
        answer.is_object() ? answer.as_object().if_contains("state_digest") : nullptr;
    return digest != nullptr && digest->is_string() ? std::string(digest->as_string()) : said;
}

boost::json::object working_node::get(const std::string& path) const {
    auto client = node::api_client::connect(data_);
    if (!client) return {};
    auto answer = client->request_json("GET", path);
    if (!answer || !answer->is_object()) return {};
    return std::move(answer->as_object());
}

boost::json::object working_node::job() const {
    const auto all = status();
    const auto* jobs = all.if_contains("jobs");
    if (!jobs || !jobs->is_array() || jobs->as_array().empty()) return {};
    const auto& first = jobs->as_array().front().as_object();
    return get("/api/v1/jobs/" + std::string(first.at("task").as_string()));
}

std::string working_node::sees(const std::string& member) const {
    const auto seen = job();
    const auto* members = seen.if_contains("crew");
    if (!members || !members->is_array()) return {};
    for (const auto& m : members->as_array()) {
        const auto& fields = m.as_object();
        if (fields.at("node").as_string() == member)
            return std::string(fields.at("doing").as_string());
    }
    return {};
}

pid_t working_node::worker() const {
    for (const auto child : node::children_of(daemon_->pid())) {
        std::ifstream file("/proc/" + std::to_string(child) + "/cmdline");
        const std::string words{std::istreambuf_iterator<char>(file), {}};
        const std::string end(1, '\0');
        // Not the one that measures at the start what processors its group gets.
        if (words.find(end + "worker" + end) != std::string::npos &&
            words.find("--probe-protection") == std::string::npos) {
            return child;
        }
    }
    return 0;
}

std::string working_node::says(const std::string& field) const {
    const auto all = status();
    const auto* found = all.if_contains(field);
    return found && found->is_string() ? std::string(found->as_string()) : std::string();
}

double working_node::worker_seconds() const {
    double sum = 0;
    for (const auto worker : node::children_of(daemon_->pid())) sum += node::used_seconds(worker);
    return sum;
}

bool working_node::computes() const {
    const double before = worker_seconds(), start = now_seconds();
    ::poll(nullptr, 0, 500);
    return worker_seconds() - before >= 0.03 * (now_seconds() - start);
}

milliseconds working_node::stopped_after(clock::time_point began) const {
    const double start = std::chrono::duration<double>(began.time_since_epoch()).count();
    std::vector<node::usage_sample> samples;
    double used = 0;
    while (now_seconds() < start + 2) {
        used = std::max(used, worker_seconds());
        samples.push_back({now_seconds(), used});
        if (const auto stop = node::stop_moment(samples, start)) {
            return milliseconds(std::llround(1e3 * (*stop - start)));
        }
        ::poll(nullptr, 0, 5);
    }
    return seconds(2);
}

void check_input_takes_the_machine_back(const std::filesystem::path& folder,
                                        std::vector<std::string> environment,
                                        const std::string& source,
                                        const std::function<clock::time_point()>& input,
                                        int rounds) {
    // Others' normal work on this machine keeps the node waiting too; that is no failure.
    constexpr auto patience = seconds(60);
    const working_node node(folder);
    const auto nowhere = "unix:path=" + (folder / "nowhere").string();
    environment.push_back("DBUS_SYSTEM_BUS_ADDRESS=" + nowhere);
    const bool has_bus = std::ranges::any_of(environment, [](const std::string& item) {
        return item.starts_with("DBUS_SESSION_BUS_ADDRESS=");
    });
    if (!has_bus) environment.push_back("DBUS_SESSION_BUS_ADDRESS=" + nowhere);
    child_process agent({TEQUIO_PROGRAM, "agent", "--socket", node.socket().string()}, environment,
                        folder / "working-agent.log");
    BOOST_REQUIRE_MESSAGE(becomes(seconds(10), [&] { return node.says("idle_source") == source; }),
                          agent.output());
    for (int i = 0; i < rounds; ++i) {
        BOOST_REQUIRE_MESSAGE(becomes(patience, [&] { return node.computes(); }),
                              boost::json::serialize(node.status()) << node.log());
        const auto took = node.stopped_after(input());
        BOOST_TEST_MESSAGE("input at the display, seen by " << source << ": given back after "
                                                            << took.count() << " ms");
        BOOST_TEST(took.count() <= 1000);
        const auto all = node.status();
        BOOST_TEST_REQUIRE(all.contains("threads"));
        BOOST_TEST(boost::json::serialize(all.at("threads")) == "0");
        BOOST_TEST(node.says("governor_code") == "user_active");
        const auto reason = node.says("governor_reason");
        BOOST_TEST(reason.find("input seen by " + source) != std::string::npos, reason);
        BOOST_TEST(node.says("state") == "paused");
    }
    BOOST_TEST_REQUIRE(becomes(patience, [&] { return node.computes(); }), node.log());
    BOOST_TEST(agent.end(seconds(2)) == 0, agent.output());
}

}  // namespace tequio::tests
