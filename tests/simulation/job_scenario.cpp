#include "tests/simulation/job_scenario.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/result.hpp"
#include "base/sha256.hpp"
#include "base/text.hpp"
#include "training/crew.hpp"
#include "training/engine.hpp"
#include "training/slices.hpp"

namespace tequio::simulation {
namespace {

constexpr std::uint64_t lanes_max = 4096;
constexpr std::uint64_t rounds_max = 10000;

/// TinyLlama's shape with its head tied: 1.03 billion parameters (Zhang et al. 2024, table 1).
training::bench_preset llama_1b() {
    return {"llama-1b", {"llama", 22, 32, 2048, 2048, 32000, 4, 5632}, 2};
}

/// TinyLlama itself, 1.10 billion parameters: an untied head needs no rows of the embedding from
/// the other end of a team, step by step.
training::bench_preset tinyllama() {
    auto preset = llama_1b();
    preset.name = "tinyllama";
    preset.model.tied = false;
    return preset;
}

base::result<training::bench_preset> model_of(const std::string& name) {
    if (name == llama_1b().name) return llama_1b();
    if (name == tinyllama().name) return tinyllama();
    return training::bench_preset_of(name);
}

bool within(std::string_view text, std::uint64_t least, std::uint64_t most, std::uint64_t& out) {
    const auto n = base::parse_u64(text);
    if (!n || *n < least || *n > most) return false;
    out = *n;
    return true;
}

bool within(std::string_view text, double least, double most, double& out) {
    const auto x = base::parse_real(text);
    if (!x || *x < least || *x > most) return false;
    out = *x;
    return true;
}

bool rate(std::string_view text, std::uint64_t& out) {
    const auto bits = base::parse_rate(text);
    if (!bits || *bits < 1000 || *bits > 1'000'000'000'000) return false;
    out = *bits;
    return true;
}

bool time(std::string_view text, base::duration most, base::duration& out) {
    const auto d = base::parse_duration(text);
    if (!d || *d < base::duration{} || *d > most) return false;
    out = *d;
    return true;
}

bool share(std::string_view text, double& out) {
    if (!text.ends_with('%')) return false;
    text.remove_suffix(1);
    double percent = 0;
    if (!within(text, 0, 99, percent)) return false;
    out = percent / 100;
    return true;
}

bool yes_or_no(std::string_view text, bool& out) {
    if (text != "yes" && text != "no") return false;
    out = text == "yes";
    return true;
}

bool codec(std::string_view text, std::string& out) {
    if (text != "f32" && text != "mxint8" && text != "mxfp4") return false;
    out = text;
    return true;
}

bool format(std::string_view text, std::string& out) {
    if (text != "f32" && text != "bf16" && text != "mxint8") return false;
    out = text;
    return true;
}

std::string rate_text(std::uint64_t bits) {
    return bits % 1'000'000 == 0 ? std::to_string(bits / 1'000'000) + "Mbit/s"
                                 : std::to_string(bits / 1000) + "kbit/s";
}

std::string time_text(base::duration d) {
    return d == base::duration{} ? "by itself"
                                 : std::to_string(d / std::chrono::milliseconds(1)) + "ms";
}

std::string models() {
    return training::bench_preset_names() + ", " + std::string(llama_1b().name) + ", " +
           std::string(tinyllama().name);
}

static_assert(training::crew_groups_nodes_max == 1024, "the text of --nodes says the crew's cap");
constexpr std::string_view nodes_allowed = "1 to 1024; above 64 they are in groups";
constexpr std::string_view codecs_allowed = "f32, mxint8, mxfp4";
constexpr std::string_view rate_allowed = "1kbit/s to 1000Gbit/s, as 20Mbit/s";

using s_t = job_scenario;
using text_t = std::string_view;

}  // namespace

const std::vector<job_option>& job_options() {
    static const std::string models_allowed = models();
    static const std::vector<job_option> options{
        {"nodes", "how many work at a time", nodes_allowed,
         [](s_t& s, text_t t) { return within(t, 1, training::crew_groups_nodes_max, s.nodes); },
         [](const s_t& s) { return std::to_string(s.nodes); }},
        {"rounds", "rounds of the job", "1 to 10000",
         [](s_t& s, text_t t) { return within(t, 1, rounds_max, s.rounds); },
         [](const s_t& s) { return std::to_string(s.rounds); }},
        {"model", "whose sizes and operations count", models_allowed,
         [](s_t& s, text_t t) { return model_of(s.model = t).has_value(); },
         [](const s_t& s) { return s.model; }},
        {"lanes", "lanes a round", "1 to 4096",
         [](s_t& s, text_t t) { return within(t, 1, lanes_max, s.lanes); },
         [](const s_t& s) { return std::to_string(s.lanes); }},
        {"inner-steps", "steps a lane, H", "1 to 1048576",
         [](s_t& s, text_t t) {
             return within(t, 1, training::recipe_limits::inner_steps, s.inner_steps);
         },
         [](const s_t& s) { return std::to_string(s.inner_steps); }},
        {"batch", "sequences a lane and step", "1 to 8192",
         [](s_t& s, text_t t) { return within(t, 1, 8192, s.batch); },
         [](const s_t& s) { return std::to_string(s.batch); }},
        {"codec", "what lanes send", codecs_allowed,
         [](s_t& s, text_t t) { return codec(t, s.codec); }, [](const s_t& s) { return s.codec; }},
        {"codec-down", "what the mean is rounded to", codecs_allowed,
         [](s_t& s, text_t t) { return codec(t, s.codec_down); },
         [](const s_t& s) { return s.codec_down; }},
        {"speed", "GFLOP/s of the slowest node", "0.001 to 1e9",
         [](s_t& s, text_t t) { return within(t, 1e-3, 1e9, s.speed_gflops); },
         [](const s_t& s) { return base::shortest(s.speed_gflops); }},
        {"spread", "how many times as fast the fastest is", "1 to 1000",
         [](s_t& s, text_t t) { return within(t, 1, 1000, s.spread); },
         [](const s_t& s) { return base::shortest(s.spread); }},
        {"up", "each node's uplink", rate_allowed,
         [](s_t& s, text_t t) { return rate(t, s.up_bits); },
         [](const s_t& s) { return rate_text(s.up_bits); }},
        {"down", "each node's downlink", rate_allowed,
         [](s_t& s, text_t t) { return rate(t, s.down_bits); },
         [](const s_t& s) { return rate_text(s.down_bits); }},
        {"latency", "one way, give or take a quarter", "0ms to 10s",
         [](s_t& s, text_t t) { return time(t, std::chrono::seconds(10), s.latency); },
         [](const s_t& s) {
             return std::to_string(s.latency / std::chrono::milliseconds(1)) + "ms";
         }},
        {"link-spread", "how many times as much the fastest connection carries", "1 to 1000",
         [](s_t& s, text_t t) { return within(t, 1, 1000, s.link_spread); },
         [](const s_t& s) { return base::shortest(s.link_spread); }},
        {"turns", "transfers that an uplink serves at a time, its node's own lanes first; 0: all",
         "0 to 1000", [](s_t& s, text_t t) { return within(t, 0, 1000, s.turns); },
         [](const s_t& s) { return std::to_string(s.turns); }},
        {"latency-spread", "how many times as far the furthest node is", "1 to 1000",
         [](s_t& s, text_t t) { return within(t, 1, 1000, s.latency_spread); },
         [](const s_t& s) { return base::shortest(s.latency_spread); }},
        {"slices", "into how many the model is divided; each node has room for one",
         "1 to 32, at most one for each layer",
         [](s_t& s, text_t t) { return within(t, 1, training::crew_slices_max, s.slices); },
         [](const s_t& s) { return std::to_string(s.slices); }},
        {"activations", "what goes across the cuts", "f32, bf16, mxint8",
         [](s_t& s, text_t t) { return format(t, s.activations); },
         [](const s_t& s) { return s.activations; }},
        {"placement", "how teams are composed: by what is measured, or in order of ids",
         "measured, round-robin",
         [](s_t& s, text_t t) {
             if (t != "measured" && t != "round-robin") return false;
             s.placed = t == "measured";
             return true;
         },
         [](const s_t& s) { return std::string(s.placed ? "measured" : "round-robin"); }},
        {"leaving", "share of the nodes that leave in an hour; others come", "0% to 99%",
         [](s_t& s, text_t t) { return share(t, s.leaving); },
         [](const s_t& s) { return base::shortest(100 * s.leaving) + "%"; }},
        {"acquainted",
         "whether those who come were there before, so that a share of their lanes is "
         "checked, not all",
         "yes, no", [](s_t& s, text_t t) { return yes_or_no(t, s.acquainted); },
         [](const s_t& s) { return std::string(s.acquainted ? "yes" : "no"); }},
        {"seed", "of all that is left to chance", "0 to 2^64 - 1",
         [](s_t& s, text_t t) { return within(t, 0, ~std::uint64_t{0}, s.seed); },
         [](const s_t& s) { return std::to_string(s.seed); }},
        {"beat", "period of the crew's hints; longer ones are quicker to simulate",
         "0s (by the length of a round) to 1h",
         [](s_t& s, text_t t) { return time(t, std::chrono::hours(1), s.beat); },
         [](const s_t& s) { return time_text(s.beat); }},
        {"limit", "virtual time after which an unfinished job is given up",
         "0s (5 times the ideal) to 3650d",
         [](s_t& s, text_t t) { return time(t, std::chrono::hours(24 * 3650), s.limit); },
         [](const s_t& s) { return time_text(s.limit); }},
    };
    return options;
}

base::result<void> set_option(job_scenario& s, std::string_view name, std::string_view text) {
    for (const auto& option : job_options()) {
        if (option.name != name) continue;
        if (option.set(s, text)) return {};
        return base::fail(base::errc::bad_encoding,
                          "--" + std::string(name) + ": found \"" + std::string(text) +
                              "\", allowed: " + std::string(option.allowed));
    }
    return base::fail(base::errc::bad_encoding, "no option --" + std::string(name));
}

base::result<job_scenario> job_preset(std::string_view name) {
    job_scenario s;
    if (name == "home") {
        // Two machines of a household with desktop processors: a lane takes 5 to 15 minutes. All
        // lanes together take half a million tokens in two steps, near GPT-3's batch for this size
        // (Brown et al. 2020, table 2.1: 0.5M).
        s.nodes = 2;
        s.model = "gpt2-124m";
        s.lanes = 64;
        s.inner_steps = 100;
        s.batch = 8;
        s.speed_gflops = 400;
        s.spread = 3;
        return s;
    }
    if (name == "volunteers") {
        // A lane of 80 thousand tokens takes the slowest 50 minutes and the fastest 5; a round
        // keeps all busy for about 1.7 hours. Of 4 bits a value a contribution goes up in 4
        // minutes: a lane is soon safe elsewhere, and standbys have their copy in time.
        s.nodes = 64;
        s.rounds = 20;
        s.model = "llama-1b";
        s.lanes = 512;
        s.inner_steps = 20;
        s.batch = 2;
        s.codec = s.codec_down = "mxfp4";
        s.speed_gflops = 200;
        s.acquainted = true;
        s.latency = std::chrono::milliseconds(200);
        s.leaving = 0.3;
        return s;
    }
    if (name == "grid") {
        // Eight teams of eight. A step of 32 sequences keeps the pipeline four fifths full; lanes
        // are short, since of eight members any may leave.
        s.nodes = 64;
        s.rounds = 3;
        s.model = "tinyllama";
        s.slices = 8;
        s.activations = "mxint8";
        s.lanes = 32;
        s.inner_steps = 2;
        s.batch = 32;
        s.codec = s.codec_down = "mxfp4";
        s.speed_gflops = 200;
        s.acquainted = true;
        s.up_bits = s.down_bits = 20'000'000;
        s.link_spread = 10;
        s.latency_spread = 10;
        s.leaving = 0.3;
        return s;
    }
    return base::fail(base::errc::bad_encoding, "--preset: found \"" + std::string(name) +
                                                    "\", allowed: home, volunteers, grid");
}

base::result<training::recipe> recipe_of(const job_scenario& s) {
    TEQUIO_TRY(const auto preset, model_of(s.model));
    training::recipe r;
    r.model = preset.model;
    const auto window = r.model.context + 1;
    r.data.token_bytes = r.model.vocabulary <= 256 ? 1 : r.model.vocabulary <= 65536 ? 2 : 4;
    r.data.validation_tokens = 64 * window;
    r.data.token_count = (std::uint64_t{1} << 24) + r.data.validation_tokens;
    r.data.tokens = {base::sha256("tokens"), r.data.token_count * r.data.token_bytes};
    r.train.lanes = s.lanes;
    r.train.rounds = s.rounds;
    r.train.inner_steps = s.inner_steps;
    r.train.batch = r.train.micro_batch = s.batch;
    if (s.slices > 1) {
        // A micro-batch of one sequence, so that a step fills the pipeline.
        r.train.micro_batch = 1;
        r.slices.activations = s.activations;
        for (std::uint64_t layer = 1; layer < r.model.layers; ++layer) {
            r.slices.cuts.push_back(layer);
        }
        if (s.slices > r.model.layers) {
            return base::fail(base::errc::bad_encoding,
                              "--slices: found " + std::to_string(s.slices) + ", allowed: 1 to " +
                                  std::to_string(r.model.layers) + ", the layers of " + s.model);
        }
        if (s.nodes < s.slices) {
            return base::fail(base::errc::bad_encoding,
                              "--nodes: found " + std::to_string(s.nodes) + ", allowed: at least " +
                                  std::to_string(s.slices) + ", one for each slice");
        }
        // Crews in groups do not divide models (training/crew/groups.md).
        if (s.nodes > training::crew_members_max) {
            return base::fail(base::errc::bad_encoding,
                              "--nodes: found " + std::to_string(s.nodes) + ", allowed: at most " +
                                  std::to_string(training::crew_members_max) + " with --slices");
        }
    }
    r.train.codec = s.codec;
    r.train.codec_down = s.codec_down;
    TEQUIO_CHECK(training::check_recipe(r));
    return r;
}

double leaving_rate(const job_scenario& s) {
    return -std::log1p(-s.leaving);
}

job_bound bound_of(const job_scenario& s, const training::job_cost& cost,
                   const std::vector<node_rates>& nodes, double cut_bytes) {
    const double speed = std::accumulate(nodes.begin(), nodes.end(), 0.0,
                                         [](double sum, const auto& n) { return sum + n.speed; });
    const double up = static_cast<double>(s.up_bits) / 8;
    const double slower = static_cast<double>(std::min(s.up_bits, s.down_bits)) / 8;
    job_bound b;
    const auto flops = static_cast<double>(cost.lane_flops);
    b.compute = flops * static_cast<double>(s.lanes) / speed;
    if (s.slices > 1) b.full = 1 - training::pipeline_bubble(s.slices, s.batch);
    if (s.slices > 1 && cut_bytes > 0) {
        const auto slices = static_cast<double>(s.slices);
        b.links = 0;
        for (const auto& each : nodes) {
            const double computes = flops / slices / each.speed;
            // Both ends of a team send half as much.
            const double sends = 2 * cut_bytes * (slices - 1) / slices / each.up;
            b.links += each.speed / speed * std::min(1.0, computes / sends);
        }
    }
    // Owners of shards send each node its part of the mean: together one mean a node.
    const double latencies = 4 * std::chrono::duration<double>(s.latency).count();
    if (s.nodes > 1) {
        b.transfer = static_cast<double>(cost.contribution_bytes) / (up * s.link_spread) +
                     static_cast<double>(cost.mean_bytes) / (slower * s.link_spread) + latencies;
    }
    const double a = leaving_rate(s) / 3600;
    if (a == 0) return b;
    b.kept = 0;
    for (const auto& each : nodes) {
        // Of a team any member may leave; but like members have a lane so many times as soon.
        const double at = a * flops / each.speed / b.full;
        b.kept += each.speed / speed * at / std::expm1(at);
    }
    return b;
}

}  // namespace tequio::simulation
