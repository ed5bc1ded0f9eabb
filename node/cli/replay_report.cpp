#include "node/cli/replay_report.hpp"

#include <unistd.h>

#include <boost/json.hpp>
#include <cstdio>

#include "base/text.hpp"

namespace tequio::node {
namespace {

namespace json = boost::json;
using training::chronicle_entry;

constexpr std::string_view first_line = "tequio/chronicle/v1\n";
constexpr std::uint64_t chronicle_size_max = std::uint64_t{1} << 30;

std::string text_of(const std::optional<double>& value) {
    return value ? base::shortest(*value) : "none";
}

/// The first field that differs; nullopt when all are equal.
std::optional<replay_comparison::difference> compare(const chronicle_entry& expected,
                                                     const chronicle_entry& computed) {
    using difference = replay_comparison::difference;
    const auto differ = [&](std::string what, std::string a, std::string b) {
        return difference{computed.round.value, std::move(what), std::move(a), std::move(b)};
    };
    const auto digests = [&](std::string what, const base::digest& a, const base::digest& b) {
        return differ(std::move(what), a.hex(), b.hex());
    };
    if (expected.state_before != computed.state_before) {
        return digests("state_before", expected.state_before, computed.state_before);
    }
    if (expected.validation_loss != computed.validation_loss) {
        return differ("validation_loss", text_of(expected.validation_loss),
                      text_of(computed.validation_loss));
    }
    if (expected.contributions.size() != computed.contributions.size()) {
        return differ("number of lanes", std::to_string(expected.contributions.size()),
                      std::to_string(computed.contributions.size()));
    }
    for (std::size_t lane = 0; lane < computed.contributions.size(); ++lane) {
        if (expected.contributions[lane] == computed.contributions[lane]) continue;
        return digests("contribution of lane " + std::to_string(lane), expected.contributions[lane],
                       computed.contributions[lane]);
    }
    if (expected.sum != computed.sum) return digests("sum", expected.sum, computed.sum);
    if (expected.mean != computed.mean) {
        return differ("mean", expected.mean.text(), computed.mean.text());
    }
    if (expected.loss != computed.loss) {
        return differ("loss", base::shortest(expected.loss), base::shortest(computed.loss));
    }
    if (expected.state_after != computed.state_after) {
        return digests("state_after", expected.state_after, computed.state_after);
    }
    return std::nullopt;
}

}  // namespace

void replay_comparison::add(const chronicle_entry& entry) {
    computed_.push_back(entry);
    if (entry.round.value >= expected_.size()) return;
    ++rounds_checked_;
    if (auto found = compare(expected_[entry.round.value], entry)) {
        differences_.push_back(std::move(*found));
    }
}

void replay_comparison::mismatch(std::uint64_t round, std::string what, std::string chronicle,
                                 std::string computed) {
    differences_.push_back({round, std::move(what), std::move(chronicle), std::move(computed)});
}

double replay_comparison::loss() const {
    for (auto entry = computed_.rbegin(); entry != computed_.rend(); ++entry) {
        if (!entry->closes()) return entry->loss;
    }
    return 0;
}

std::optional<double> replay_comparison::validation_loss() const {
    return computed_.empty() ? std::nullopt : computed_.back().validation_loss;
}

replay_display::replay_display(const cli_context& context, const training::recipe& r)
    : context_(context),
      recipe_(r),
      drawing_(!context.quiet && context.may_draw(STDERR_FILENO)),
      start_(std::chrono::steady_clock::now()) {}

replay_display::~replay_display() {
    clear();
}

void replay_display::clear() {
    if (drawn_) std::fputs("\r\x1b[K", stderr);
    drawn_ = false;
}

/// Tokens (or examples) a second so far, and the time that the rest will take at that.
std::string replay_display::pace() const {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start_;
    const double speed = static_cast<double>(at_.tokens) / std::max(spent.count(), 1e-9);
    if (at_.tokens == 0 || speed <= 0) return {};
    const auto& train = recipe_.train;
    const auto lane = training::lane_tokens(recipe_);
    const auto lanes_left =
        train.lanes * (train.rounds - std::min(at_.round.value, train.rounds)) - at_.lanes_done;
    const std::chrono::duration<double> left(static_cast<double>(lane * lanes_left) / speed);
    char text[64];
    std::snprintf(text, sizeof text, ", %.0f ", speed);
    return text + std::string(training::counted_as(recipe_.model)) + "/s, " +
           base::human_duration(std::chrono::duration_cast<base::duration>(left)) + " left";
}

void replay_display::show(const replay_progress& at) {
    at_ = at;
    if (!drawing_) return;
    const auto& train = recipe_.train;
    std::fprintf(stderr, "\r\x1b[Kround %llu of %llu, lane %llu of %llu, step %llu of %llu%s",
                 static_cast<unsigned long long>(at.round.value),
                 static_cast<unsigned long long>(train.rounds),
                 static_cast<unsigned long long>(at.lanes_done),
                 static_cast<unsigned long long>(train.lanes),
                 static_cast<unsigned long long>(at.steps_done),
                 static_cast<unsigned long long>(train.inner_steps), pace().c_str());
    drawn_ = true;
}

void replay_display::finished(const chronicle_entry& entry) {
    clear();
    char validation[48] = "";
    if (entry.validation_loss) {
        std::snprintf(validation, sizeof validation, ", validation before it %.4f",
                      *entry.validation_loss);
    }
    char line[160];
    if (entry.closes()) {
        std::snprintf(line, sizeof line, "final state%s",
                      entry.validation_loss ? validation : " reached");
    } else {
        std::snprintf(line, sizeof line, "round %llu: loss %.4f%s",
                      static_cast<unsigned long long>(entry.round.value), entry.loss, validation);
    }
    context_.say(line + (entry.closes() ? std::string() : pace()));
}

namespace {

json::object coded_json(const training::contribution_tally& tally, const training::recipe& r) {
    const auto parameters = training::parameter_count(r.model).value_or(1);
    return {{"saturated_share", tally.saturated_share(parameters)},
            {"flushed_share", tally.flushed_share(parameters)}};
}

/// Says when the window does not fit the values that were computed here.
void warn_of_strain(const job_replay& replay) {
    using training::contribution_kind;
    for (const auto& strain :
         {training::strain_of(contribution_kind::lane, replay.recipe(), replay.coded().lanes),
          training::strain_of(contribution_kind::mean, replay.recipe(), replay.coded().means)}) {
        if (!strain.empty()) std::fprintf(stderr, "tequio: %s\n", strain.c_str());
    }
}

}  // namespace

void report(cli_context& context, const job_replay& replay, const replay_comparison& comparison,
            bool has_chronicle) {
    json::array mismatches;
    for (const auto& d : comparison.differences()) {
        mismatches.push_back(json::object{{"round", d.round},
                                          {"what", d.what},
                                          {"chronicle", d.chronicle},
                                          {"computed", d.computed}});
    }
    if (context.json) {
        json::object out{{"recipe", training::recipe_id_of(replay.recipe()).hex()},
                         {"state_digest", replay.state_digest().hex()},
                         {"round", replay.round().value},
                         {"rounds_computed", comparison.computed().size()},
                         {"rounds_checked", comparison.rounds_checked()},
                         {"loss", comparison.loss()},
                         {"validation_loss", nullptr},
                         {"lanes_coded", coded_json(replay.coded().lanes, replay.recipe())},
                         {"means_coded", coded_json(replay.coded().means, replay.recipe())},
                         {"mismatches", mismatches}};
        if (const auto loss = comparison.validation_loss()) out["validation_loss"] = *loss;
        context.print_json("job-replay", std::move(out));
    } else {
        std::printf("state_digest %s\n", replay.state_digest().hex().c_str());
    }
    warn_of_strain(replay);
    for (const auto& d : comparison.differences()) {
        context.code = exit_code::verification_failed;
        std::fprintf(stderr,
                     "tequio: round %llu differs from the chronicle: %s is %s there and %s here\n",
                     static_cast<unsigned long long>(d.round), d.what.c_str(), d.chronicle.c_str(),
                     d.computed.c_str());
    }
    if (comparison.differs()) return;
    context.say(has_chronicle
                    ? std::to_string(comparison.rounds_checked()) + " rounds equal the chronicle"
                    : std::string("nothing to compare with: no chronicle here"));
}

base::result<std::vector<chronicle_entry>> read_chronicle(const std::filesystem::path& file) {
    const auto text = read_file(file, chronicle_size_max);
    if (!text) return ends_with(exit_code::not_found, text.error().message());
    std::vector<chronicle_entry> out;
    std::string_view rest = *text;
    while (!rest.empty()) {
        const auto end = rest.find(first_line, 1);
        const auto part = rest.substr(0, end);
        rest.remove_prefix(part.size());
        auto entry = training::parse_chronicle_entry(part);
        if (!entry) return entry.error().at(file.string());
        const auto* before = out.empty() ? nullptr : &out.back();
        if (auto follows = training::chronicle_entry_follows(before, *entry); !follows) {
            return follows.error().at(file.string());
        }
        out.push_back(std::move(*entry));
    }
    return out;
}

base::result<void> write_chronicle(const std::filesystem::path& file,
                                   const std::vector<chronicle_entry>& entries) {
    std::string text;
    for (const auto& entry : entries) text += training::chronicle_entry_text(entry);
    return write_file(file, base::as_bytes(text));
}

}  // namespace tequio::node
