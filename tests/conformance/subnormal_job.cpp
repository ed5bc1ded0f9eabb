#include "tests/conformance/subnormal_job.hpp"

#include <algorithm>
#include <bit>
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "base/blob.hpp"
#include "base/rng.hpp"
#include "training/engine.hpp"
#include "training/state.hpp"

namespace tequio::tests {
namespace {

/// Weights whose names have `part` get numbers of magnitude 2^exponent.
struct override {
    std::string_view part;
    int exponent;
};

/// An exponent so low that it means zero.
constexpr int zero = -1000;

/// What a hostile job has in other places than numbers as usual.
struct numbers {
    std::vector<override> weights = {};
    int values = -1;              ///< exponent of an mlp's values
    bool halved = false;          ///< weight decay halves weights at every step
    bool smallest_rates = false;  ///< of learning rate and epsilon
};

struct named_attack {
    subnormal_attack attack;
    numbers with;
};

/// 2^-47 is about the least that `flush` lets pass. In the attacks on what is stored, its partners
/// in products are large, so that nothing but an operand can be subnormal.
std::vector<named_attack> table_of_attacks() {
    return {
        // Weights that are subnormal when they are read.
        {{"subnormal weights", "gpt2"},
         {{{"mlp.c_fc.weight", -130}, {"mlp.c_proj.weight", zero}, {"ln_2.weight", 10}}}},
        {{"subnormal weights", "llama"},
         {{{"gate_proj", -130}, {"up_proj", -130}, {"down_proj", zero}, {"post_attention", 10}}}},
        {{"subnormal weights", "mlp"},
         {{{"hidden.1.weight", -130}, {"hidden.2.weight", zero}}, 10}},
        // Weights that become so: what follows them is zero, so they have no gradient but decay. (A
        // gelu has a slope at 0, so a gpt2 has no such weights.)
        {{"decaying weights", "llama"},
         {{{"gate_proj", -47}, {"up_proj", -47}, {"down_proj", zero}, {"post_attention", 80}},
          -1,
          true}},
        {{"decaying weights", "mlp"},
         {{{"hidden.1.weight", -47}, {"hidden.2.weight", zero}}, 10, true}},
        // What a norm gives, or an mlp reads.
        {{"subnormal inputs", "gpt2"},
         {{{"ln_2.weight", -48}, {"mlp.c_fc.weight", 80}, {"mlp.c_proj.weight", 35}},
          -1,
          false,
          true}},
        {{"subnormal inputs", "llama"},
         {{{"post_attention", -48}, {"gate_proj", 20}, {"up_proj", 20}, {"down_proj", 20}},
          -1,
          false,
          true}},
        {{"subnormal inputs", "mlp"}, {{{"hidden.0.weight", 100}}, -127}},
        // All operands are as small as they may be, and so are their products.
        {{"tiny products", "gpt2"}, {{{"weight", -47}, {"bias", -47}}, -1, false, true}},
        {{"tiny products", "llama"}, {{{"weight", -47}}, -1, false, true}},
        {{"tiny products", "mlp"}, {{{"weight", -47}, {"bias", -47}}, -47, false, true}},
        // Then gradients, their squares, moments and updates are too.
        {{"tiny gradients", "gpt2"}, {{{"wte", -47}}, -1, false, true}},
        {{"tiny gradients", "llama"}, {{{"embed", -47}}, -1, false, true}},
        {{"tiny gradients", "mlp"}, {{{"output.weight", -47}}, -1, false, true}},
    };
}

constexpr std::uint64_t examples = 4096, inputs = 128, classes = 10;

float drawn(base::rng& rng, int exponent) {
    const auto mantissa = static_cast<float>(1 + rng.below(std::uint64_t{1} << 23)) * 0x1p-23F;
    const float x = std::ldexp(1.0F + mantissa, exponent);
    return rng.below(2) == 0 ? x : -x;
}

training::recipe recipe_of(std::string_view family) {
    training::recipe r;
    if (family == "gpt2") {
        r.model = {"gpt2", 2, 4, 128, 128, 256};
    } else if (family == "llama") {
        r.model = {"llama", 2, 4, 128, 128, 256, 2, 352};
    } else {
        r.model.family = "mlp";
        r.model.layers = 3;
        r.model.width = 256;
        r.model.context = 1;
        r.model.inputs = inputs;
        r.model.vocabulary = classes;
    }
    const bool mlp = family == "mlp";
    r.train.lanes = 1;
    r.train.rounds = 1;
    r.train.inner_steps = mlp ? 16 : 2;
    r.train.batch = mlp ? 1024 : 16;
    r.train.micro_batch = r.train.batch;
    r.train.inner.clip = 0;
    return r;
}

base::byte_vector tokens() {
    base::rng rng(3);
    base::byte_vector bytes(16384);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(rng.below(256));
    return bytes;
}

/// Values as they are: no shift, factor 1.
base::byte_vector examples_of(int exponent) {
    base::rng rng(5);
    base::byte_vector bytes;
    base::byte_writer out(bytes);
    for (std::uint64_t j = 0; j < inputs; ++j) out.u32(0);
    for (std::uint64_t j = 0; j < inputs; ++j) out.u32(std::bit_cast<std::uint32_t>(1.0F));
    for (std::uint64_t i = 0; i < examples; ++i) {
        out.u32(static_cast<std::uint32_t>(rng.below(classes)));
        for (std::uint64_t j = 0; j < inputs; ++j) {
            out.u32(std::bit_cast<std::uint32_t>(drawn(rng, exponent)));
        }
    }
    return bytes;
}

/// The weights that the recipe would draw, with those of the attack in their places.
base::byte_vector weights_of(const lane_job& job, const numbers& with) {
    training::serial_executor one;
    const auto engine = training::engine::create(job.work, job.view(), one).value();
    const auto& layout = engine->layout();
    std::vector<float> parameters(layout.padded_size), momentum(layout.padded_size);
    engine->initial_state({parameters, momentum});
    base::rng rng(9);
    base::byte_vector bytes;
    base::byte_writer out(bytes);
    for (const auto& t : layout.tensors) {
        const auto it = std::find_if(
            with.weights.begin(), with.weights.end(),
            [&](const override& o) { return t.name.find(o.part) != std::string::npos; });
        for (std::uint64_t i = 0; i < t.size; ++i) {
            const float x =
                it != with.weights.end() ? drawn(rng, it->exponent) : parameters[t.offset + i];
            out.u32(std::bit_cast<std::uint32_t>(x));
        }
    }
    return bytes;
}

lane_job job_of(std::string_view family, const numbers& with) {
    lane_job job;
    job.work = recipe_of(family);
    const bool mlp = family == "mlp";
    job.data = mlp ? examples_of(with.values) : tokens();
    job.work.data = {base::blob_ref_of(job.data), mlp ? 4U : 1U, mlp ? examples : job.data.size(),
                     0};
    auto& inner = job.work.train.inner;
    if (with.halved) {
        // So small a clip that the update does not show beside 2^-126 where the gradient began as
        // nothing, and squares of other gradients do not underflow.
        inner.clip = 1e-15;
        inner.epsilon = 1;
        inner.weight_decay = 1000;
        inner.lr = 0.5 / 1000;
        job.work.train.schedule.decay = "none";
    }
    if (with.smallest_rates) {
        inner.lr = inner.epsilon = training::recipe_limits::rate_min;
    }
    job.weights = weights_of(job, with);
    job.work.model.init = base::blob_ref_of(job.weights);
    const auto checked = training::check_recipe(job.work);
    BOOST_REQUIRE_MESSAGE(checked, checked.error().message());
    return job;
}

}  // namespace

training::dataset_view lane_job::view() const {
    return training::dataset_view::open(data, work).value();
}

std::vector<subnormal_attack> subnormal_attacks() {
    std::vector<subnormal_attack> all;
    for (const auto& a : table_of_attacks()) all.push_back(a.attack);
    return all;
}

lane_job ordinary_job(std::string_view family) {
    return job_of(family, {});
}

lane_job hostile_job(const subnormal_attack& attack) {
    for (const auto& a : table_of_attacks()) {
        if (a.attack == attack) return job_of(attack.family, a.with);
    }
    BOOST_FAIL("there is no such attack");
    return {};
}

}  // namespace tequio::tests
