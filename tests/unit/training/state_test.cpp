#include "training/state.hpp"

#include <boost/test/unit_test.hpp>
#include <cstring>
#include <set>

#include "base/blob.hpp"
#include "base/merkle.hpp"

namespace tequio::training {
namespace {

const model_config twelve_layers{"gpt2", 12, 2, 6, 5, 7};

}  // namespace

BOOST_AUTO_TEST_SUITE(state)

BOOST_AUTO_TEST_CASE(tensors_are_sorted_aligned_and_complete) {
    const auto layout = layout_of(twelve_layers);
    BOOST_TEST(layout.tensors.size() == 4U + 12U * 12U);
    std::uint64_t end = 0, parameters = 0;
    std::string before;
    for (const auto& t : layout.tensors) {
        BOOST_TEST((before < t.name));
        before = t.name;
        BOOST_TEST(t.offset % tensor_align_floats == 0U);
        BOOST_TEST(t.offset >= end);
        BOOST_TEST(t.offset < end + tensor_align_floats);
        end = t.offset + t.size;
        parameters += t.size;
        BOOST_TEST(t.decay == (t.shape.size() == 2));
    }
    BOOST_TEST(parameters == layout.parameters);
    BOOST_TEST(*parameter_count(twelve_layers) == layout.parameters);
    BOOST_TEST(layout.padded_size == (end + 31) / 32 * 32);
}

BOOST_AUTO_TEST_CASE(shapes_are_those_of_hugging_face) {
    const auto layout = layout_of(twelve_layers);
    using shape = std::vector<std::uint64_t>;
    BOOST_TEST(layout.tensor("transformer.wte.weight").shape == (shape{7, 6}));
    BOOST_TEST(layout.tensor("transformer.wpe.weight").shape == (shape{5, 6}));
    BOOST_TEST(layout.tensor("transformer.h.11.attn.c_attn.weight").shape == (shape{6, 18}));
    BOOST_TEST(layout.tensor("transformer.h.0.attn.c_attn.bias").shape == (shape{18}));
    BOOST_TEST(layout.tensor("transformer.h.0.attn.c_proj.weight").shape == (shape{6, 6}));
    BOOST_TEST(layout.tensor("transformer.h.0.mlp.c_fc.weight").shape == (shape{6, 24}));
    BOOST_TEST(layout.tensor("transformer.h.0.mlp.c_proj.weight").shape == (shape{24, 6}));
    BOOST_TEST(layout.tensor("transformer.h.3.ln_2.bias").shape == (shape{6}));
    BOOST_TEST(layout.tensor("transformer.ln_f.weight").shape == (shape{6}));
}

BOOST_AUTO_TEST_CASE(digest_is_the_merkle_root_over_named_tensors_velocities_first) {
    const auto layout = layout_of({"gpt2", 1, 1, 4, 3, 5});
    std::vector<float> parameters(layout.padded_size), momentum(layout.padded_size);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
        parameters[i] = static_cast<float>(i);
        momentum[i] = -static_cast<float>(i);
    }
    std::vector<base::digest> leaves;
    for (const bool velocities : {true, false}) {
        for (const auto& t : layout.tensors) {
            const auto& flat = velocities ? momentum : parameters;
            base::byte_vector data;
            for (std::uint64_t i = 0; i < t.size; ++i) {
                std::uint32_t bits = 0;
                std::memcpy(&bits, &flat[t.offset + i], 4);
                base::byte_writer(data).u32(bits);
            }
            base::byte_vector leaf;
            base::byte_writer out(leaf);
            out.raw(base::as_bytes((velocities ? "momentum/" : "") + t.name));
            out.u8(0);
            out.raw(base::blob_ref_of(data).root.view());
            leaves.push_back(base::merkle_leaf(leaf));
        }
    }
    BOOST_TEST(state_digest(layout, {parameters, momentum}).hex() ==
               base::merkle_root(leaves).hex());
}

BOOST_AUTO_TEST_CASE(digest_sees_every_value_but_not_padding) {
    const auto layout = layout_of({"gpt2", 1, 1, 4, 3, 5});
    std::vector<float> parameters(layout.padded_size), momentum(layout.padded_size);
    std::set<std::string> seen;
    const auto digest = [&] { return state_digest(layout, {parameters, momentum}).hex(); };
    seen.insert(digest());
    for (const auto& t : layout.tensors) {
        for (auto* flat : {&parameters, &momentum}) {
            (*flat)[t.offset + t.size - 1] = 1.0F;
            BOOST_TEST(seen.insert(digest()).second, t.name);
        }
    }
    parameters.back() = 1.0F;  // padding of the last tensor
    BOOST_TEST(!seen.insert(digest()).second);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
