#pragma once

/// What the node scenarios share: a job over hashes in place of training, and what must be so at
/// its end.

#include <boost/test/unit_test.hpp>

#include "base/ensure.hpp"
#include "base/sha256.hpp"
#include "tests/simulation/node_world.hpp"
#include "training/dataset.hpp"
#include "training/merge.hpp"
#include "training/state.hpp"

namespace tequio::simulation {

using namespace std::chrono_literals;
using training::job_state;

inline const base::signing_key& submitter_key() {
    static const auto key = base::signing_key::from_seed(base::sha256("a submitter").bytes);
    return key;
}

/// A recipe, its data, and what one machine alone makes of it.
struct sample_job {
    training::recipe work;
    blob_map blobs;  ///< of its tasks
    std::optional<base::blob_ref> companion;
    std::unique_ptr<lane_functions> functions;
    replayed alone;

    sample_job(std::uint64_t lanes, std::uint64_t rounds, std::size_t lines = 60,
               std::uint64_t width = 16) {
        work.model = {"gpt2", 1, 2, width, 8, 256};
        std::string text;
        for (std::size_t i = 0; i < lines; ++i) {
            text += "line " + std::to_string(i * 7919 % 10007) + " of a text\n";
        }
        const std::vector<training::source_file> files{{"text", base::as_bytes(text)}};
        auto data = training::tokenise_bytes(files, 0.1, work.model.context);
        work.data = data->config;
        blobs[work.data.tokens] = std::move(data->tokens);
        work.train.lanes = lanes;
        work.train.rounds = rounds;
        work.train.inner_steps = 2;
        work.train.batch = work.train.micro_batch = 2;
        learn();
    }

    /// Three units of contributions and means, so that rounds are summed in shards.
    static sample_job of_several_units(std::uint64_t lanes, std::uint64_t rounds) {
        sample_job job(lanes, rounds, 60, 96);
        job.work.train.codec = job.work.train.codec_down = "f32";
        job.learn();
        return job;
    }

    /// The same, and workers train in truth: hashes cannot be added up, so groups cannot sum them.
    static sample_job of_true_sums(std::uint64_t lanes, std::uint64_t rounds) {
        auto job = of_several_units(lanes, rounds);
        job.functions = make_true_functions(job.work, job.blobs.at(job.work.data.tokens));
        job.alone = replay(*job.functions);
        return job;
    }

    /// Begins with weights, of as many bytes as the model's parameters need.
    void begin_with_weights() {
        base::byte_vector bytes(4 * *training::parameter_count(work.model));
        for (std::size_t i = 0; i < bytes.size(); i += 4) bytes[i] = static_cast<std::uint8_t>(i);
        work.model.init = add_blob(std::move(bytes));
        learn();
    }
    base::blob_ref add_blob(base::byte_vector bytes) {
        const auto ref = base::blob_ref_of(bytes);
        blobs[ref] = std::move(bytes);
        return ref;
    }

    /// What workers compute for the recipe as it is now, and what one machine alone makes of it.
    void learn() {
        hash_job job;
        job.lanes = work.train.lanes;
        job.rounds = work.train.rounds;
        const auto layout = training::layout_of(work.model);
        const auto lane = shape_of(training::contribution_kind::lane, work, layout);
        const auto mean = shape_of(training::contribution_kind::mean, work, layout);
        job.units = mean.units();
        base::ensure(lane.units() == job.units, "hashes stand for units of one size");
        job.contribution_bytes = lane.bytes_in(job.units - 1);
        job.mean_bytes = mean.bytes_in(job.units - 1);
        job.shard = [lane, mean](training::contribution_run units) {
            const auto extent = training::shard_extent_of(lane, mean, units);
            return training::crew_shard{extent.lane_units, extent.part_bytes};
        };
        functions = make_hash_functions(job);
        alone = replay(*functions);
    }

    training::task task(const node_world& world, const std::string& name = "a job") const {
        training::task t;
        t.name = name;
        t.data_license = t.model_license = "CC0-1.0";
        if (work.model.init) t.base_license = "CC0-1.0";
        t.submitter = submitter_key().public_part();
        t.created = world.wall(0);
        t.deadline = {t.created.seconds + 24 * 3600};
        t.nonce = base::sha256(name).hex().substr(0, 32);
        t.exactness = world_exactness;
        t.companion = companion;
        t.work = work;
        return t;
    }
    base::digest result() const { return alone.entries.back().state_after; }
};

/// Submits at node `index` and requires that the node takes it.
inline base::task_id submit(node_world& world, std::size_t index, sample_job& job,
                            const training::task& task) {
    world.teach(job.work, *job.functions);
    const auto id = world.submit(index, task, submitter_key(), job.blobs, job.alone);
    BOOST_TEST_REQUIRE(id.has_value(), "not taken: " << id.error().message());
    return *id;
}

/// Fails with a picture of the world unless `done` comes true within `limit` of virtual time.
inline void run_until(node_world& world, base::duration limit, const std::function<bool()>& done) {
    const bool came = world.run(limit, done);
    BOOST_TEST_REQUIRE(came, "not in time: " << world.describe());
}

/// Fails unless every living node of `nodes` has the model of one machine alone within `limit`.
inline void finish_as_alone(node_world& world, std::size_t nodes, const base::task_id& id,
                            const sample_job& job, base::duration limit) {
    const bool done = world.run(limit, [&] { return world.all(id, job_state::done); });
    BOOST_TEST_REQUIRE(done, "not done in time: " << world.describe());
    for (std::size_t i = 0; i < nodes; ++i) {
        if (!world.alive(i)) continue;
        BOOST_TEST((world.job(i, id)->crew.state_digest == job.result()),
                   "another result: " << world.describe());
    }
}

}  // namespace tequio::simulation
