#pragma once

/// A job that takes milliseconds, for tests of the worker.

#include <boost/test/unit_test.hpp>
#include <string>

#include "node/worker/shared_memory.hpp"
#include "node/worker/state_memory.hpp"
#include "training/dataset.hpp"
#include "training/recipe.hpp"

/// Far longer than anything that is waited for takes.
constexpr int patience_ms = 60000;

struct test_job {
    tequio::training::recipe recipe;
    tequio::training::tokenised_data data;

    explicit test_job(std::uint64_t lanes = 2, std::uint64_t rounds = 3) {
        recipe.model = {"gpt2", 2, 2, 32, 32, 256};
        auto& train = recipe.train;
        train.lanes = lanes;
        train.rounds = rounds;
        train.inner_steps = 4;
        train.batch = 4;
        train.micro_batch = 4;
        train.inner.ramp_steps = 2;
        std::string text;
        for (int i = 0; i < 200; ++i) text += "line " + std::to_string(i * i) + " of a text\n";
        const tequio::training::source_file file{"text", tequio::base::as_bytes(text)};
        auto tokens = tequio::training::tokenise_bytes({&file, 1}, 0.1, recipe.model.context);
        BOOST_REQUIRE(tokens.has_value());
        data = std::move(*tokens);
        recipe.data = data.config;
        BOOST_REQUIRE(tequio::training::check_recipe(recipe).has_value());
    }
    /// A job whose lanes can be divided into up to four slices.
    static test_job divisible(const std::string& family, const std::string& activations) {
        test_job job(2, 2);
        auto& model = job.recipe.model;
        model.family = family;
        model.layers = 4;
        if (family == "llama") {
            model.kv_heads = 1;
            model.hidden = 40;
        }
        job.recipe.train.micro_batch = 1;
        job.recipe.slices = {{1, 2, 3}, activations};
        BOOST_REQUIRE(tequio::training::check_recipe(job.recipe).has_value());
        return job;
    }
    /// The same job by method synchronous.
    static test_job synchronous(std::uint64_t lanes, std::uint64_t rounds) {
        test_job job(lanes, rounds);
        auto& train = job.recipe.train;
        train.method = tequio::training::method_synchronous;
        train.inner_steps = 1;
        train.inner.ramp_steps = 0;
        train.window = -46;
        BOOST_REQUIRE(tequio::training::check_recipe(job.recipe).has_value());
        return job;
    }
    std::string text() const { return tequio::training::recipe_text(recipe); }
    std::vector<tequio::node::unique_fd> blobs() const { return files_of({data.tokens}); }
    static std::vector<tequio::node::unique_fd> files_of(
        const std::vector<tequio::base::byte_vector>& contents) {
        std::vector<tequio::node::unique_fd> out;
        for (const auto& bytes : contents) {
            auto file = tequio::node::make_sealed_file("blob", bytes);
            BOOST_REQUIRE(file.has_value());
            out.push_back(std::move(*file));
        }
        return out;
    }
    tequio::node::state_memory make_state(std::uint64_t slice = 0, std::uint64_t slices = 1) const {
        auto state = tequio::node::state_memory::create(
            tequio::training::recipe_id_of(recipe),
            tequio::node::state_shape_of(recipe, 2, slice, slices));
        BOOST_REQUIRE(state.has_value());
        return std::move(*state);
    }
};
