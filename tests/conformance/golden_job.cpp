#include "tests/conformance/golden_job.hpp"

#include <boost/test/unit_test.hpp>
#include <fstream>
#include <sstream>

#include "base/blob.hpp"
#include "base/text.hpp"
#include "training/chronicle.hpp"
#include "training/merge.hpp"
#include "training/state.hpp"

namespace tequio::tests {
namespace {

const training::engine::keep_going always = [](std::uint64_t) { return true; };

std::string without_comments(const std::string& text) {
    std::string out;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
        if (!line.starts_with('#')) out += line + '\n';
    }
    return out;
}

template <class T>
T value_of(base::result<T> result) {
    if (!result) BOOST_FAIL(result.error().message());
    return std::move(*result);
}

std::string place(std::uint64_t round, std::uint64_t lane) {
    return "round " + std::to_string(round) + " lane " + std::to_string(lane) + ' ';
}

std::string line_of(std::uint64_t round, std::uint64_t lane, const training::lane_result& result) {
    const auto* bytes = std::get_if<base::byte_vector>(&result.outcome);
    BOOST_REQUIRE_MESSAGE(bytes != nullptr, "no golden lane diverges");
    return place(round, lane) + "contribution " + base::blob_ref_of(*bytes).text() + " trace " +
           result.trace.hex() + " loss " + base::shortest(result.loss) + '\n';
}

/// One job in hand: engine and state.
struct running_job {
    const golden_job& job;
    std::unique_ptr<training::engine> engine;
    std::vector<float> parameters, momentum, second;
    std::string text;

    running_job(const golden_job& j, training::executor& run, training::engine_options options)
        : job(j),
          engine(value_of(training::engine::create(j.work, j.view(), run, options))),
          parameters(engine->layout().padded_size),
          momentum(engine->layout().padded_size),
          second(j.work.train.synchronous() ? engine->layout().padded_size : 0) {
        engine->initial_state(state());
    }
    training::state_span state() { return {parameters, momentum, second}; }
    base::digest digest() { return training::state_digest(engine->layout(), state()); }
    training::lane_result lane(std::uint64_t round, std::uint64_t index) {
        auto result = value_of(engine->run_lane(state(), {round}, {index}, always));
        text += line_of(round, index, result);
        return result;
    }

    training::chronicle_entry begin_entry(std::uint64_t round) {
        training::chronicle_entry entry;
        entry.round = {round};
        entry.state_before = digest();
        text += "round " + std::to_string(round) + " state " + entry.state_before.hex() + '\n';
        if (job.work.data.validation_tokens > 0) {
            entry.validation_loss = value_of(engine->validate(state(), always));
        }
        return entry;
    }

    training::chronicle_entry round(std::uint64_t index) {
        auto entry = begin_entry(index);
        training::summation sum(job.work, engine->layout());
        for (std::uint64_t i = 0; i < job.work.train.lanes; ++i) {
            const auto bytes = std::get<base::byte_vector>(lane(index, i).outcome);
            entry.contributions.push_back(base::blob_ref_of(bytes).root);
            BOOST_REQUIRE(sum.add({i}, bytes));
        }
        const auto total = value_of(sum.finish());
        entry.sum = total.sum;
        entry.mean = base::blob_ref_of(total.mean);
        entry.loss = total.loss;
        BOOST_REQUIRE(
            training::apply_mean(job.work, engine->layout(), {index}, total.mean, state()));
        entry.state_after = digest();
        return entry;
    }
};

}  // namespace

training::dataset_view golden_job::view() const {
    return value_of(training::dataset_view::open(data, work));
}

std::string golden_job_folder(const std::string& name) {
    return TEQUIO_SOURCE_DIR "/tests/vectors/jobs/" + name;
}

std::string read_text(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    BOOST_REQUIRE_MESSAGE(in.good(), path + " can be read");
    return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> golden_job_names() {
    std::vector<std::string> names;
    for (const auto* list : {"list.txt", "later.txt"}) {
        std::istringstream lines(without_comments(read_text(golden_job_folder(list))));
        for (std::string name; std::getline(lines, name);) names.push_back(name);
        BOOST_REQUIRE(!names.empty());
    }
    return names;
}

golden_job read_golden_job(const std::string& name) {
    const auto folder = golden_job_folder(name);
    golden_job job;
    job.name = name;
    job.work = value_of(training::parse_recipe(read_text(folder + "/recipe.txt")));
    const auto data = read_text(folder + "/data.bin");
    const auto bytes = base::as_bytes(data);
    job.data.assign(bytes.begin(), bytes.end());
    BOOST_REQUIRE_MESSAGE(base::blob_ref_of(job.data) == job.work.data.tokens,
                          folder + "/data.bin is the data that recipe.txt names");
    if (std::ifstream(folder + "/golden.txt").good()) {
        job.golden = without_comments(read_text(folder + "/golden.txt"));
    }
    return job;
}

std::vector<golden_job> read_golden_jobs() {
    std::vector<golden_job> jobs;
    for (const auto& name : golden_job_names()) jobs.push_back(read_golden_job(name));
    return jobs;
}

std::string run_golden_job(const golden_job& job, training::executor& run,
                           training::engine_options options) {
    running_job at(job, run, options);
    std::vector<training::chronicle_entry> chronicle;
    for (std::uint64_t round = 0; round < job.work.train.rounds; ++round) {
        chronicle.push_back(at.round(round));
    }
    auto last = at.begin_entry(job.work.train.rounds);
    last.state_after = last.state_before;
    chronicle.push_back(last);
    return at.text + "chronicle " + training::chronicle_digest(chronicle).hex() + '\n';
}

std::string run_golden_lane(const golden_job& job, std::uint64_t lane, training::executor& run,
                            training::engine_options options) {
    running_job at(job, run, options);
    at.lane(0, lane);
    return at.text;
}

std::string golden_lane(const golden_job& job, std::uint64_t lane) {
    std::istringstream lines(job.golden);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(place(0, lane))) return line + '\n';
    }
    BOOST_FAIL(job.name + " has no golden lane " + std::to_string(lane));
    return {};
}

}  // namespace tequio::tests
