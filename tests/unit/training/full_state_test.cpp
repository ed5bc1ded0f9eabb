#include "training/full_state.hpp"

#include <boost/test/unit_test.hpp>
#include <cstring>

#include "base/sha256.hpp"

namespace tequio::training {
namespace {

const base::recipe_id this_recipe{base::sha256("recipe").bytes};

/// A state whose every float differs, padding +0.
struct some_state {
    state_layout layout = layout_of({"gpt2", 1, 1, 4, 3, 5});
    std::vector<std::vector<float>> arrays;

    explicit some_state(std::size_t optimizer) {
        float next = 1;
        for (std::size_t a = 0; a <= optimizer; ++a) {
            auto& array = arrays.emplace_back(layout.padded_size);
            for (const auto& t : layout.tensors) {
                for (std::uint64_t i = 0; i < t.size; ++i) array[t.offset + i] = next++;
            }
        }
    }
    state_span span() {
        state_span out{arrays[0], arrays[1]};
        if (arrays.size() > 2) out.second = arrays[2];
        return out;
    }
    base::byte_vector blob(base::round_index round) {
        const auto floats = layout.parameters * arrays.size();
        auto out = full_state_header(this_recipe, round, floats);
        for (const auto& t : full_state_tensors(layout, span())) {
            const auto bytes = float_bytes(t);
            out.insert(out.end(), bytes.begin(), bytes.end());
        }
        return out;
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(full_state)

BOOST_AUTO_TEST_CASE(a_blob_is_header_optimizer_and_parameters_without_padding) {
    for (const std::size_t optimizer : {1, 2}) {
        some_state s(optimizer);
        const auto bytes = s.blob({7});
        BOOST_TEST(bytes.size() ==
                   full_state_bytes(s.layout.parameters, static_cast<std::uint32_t>(optimizer)));
        BOOST_TEST(bytes.size() == 64 + 4 * s.layout.parameters * (optimizer + 1));
        BOOST_TEST(base::as_text(base::byte_view(bytes).first(16)) == "tequio/state/v1\n");
        BOOST_TEST(base::as_text(base::byte_view(bytes).subspan(16, 32)) ==
                   base::as_text(this_recipe.view()));
        base::byte_reader in(base::byte_view(bytes).subspan(48));
        BOOST_TEST(in.u64() == 7u);
        BOOST_TEST(in.u64() == s.layout.parameters * (optimizer + 1));
        // Velocity (or the first moment) first, its first tensor first.
        float first = 0;
        std::memcpy(&first, bytes.data() + 64, sizeof first);
        BOOST_TEST(first == s.arrays[1][s.layout.tensors.front().offset]);

        some_state other(optimizer);
        for (auto& array : other.arrays) std::fill(array.begin(), array.end(), -1.0F);
        BOOST_REQUIRE(read_full_state(s.layout, this_recipe, {7}, bytes, other.span()).has_value());
        BOOST_TEST((other.arrays == s.arrays));
        BOOST_TEST((state_digest(s.layout, other.span()) == state_digest(s.layout, s.span())));
    }
}

BOOST_AUTO_TEST_CASE(what_is_no_state_of_this_recipe_and_round_changes_nothing) {
    some_state s(1);
    const auto good = s.blob({7});
    const auto refused = [&](const base::byte_vector& bytes, std::uint64_t round = 7,
                             const base::recipe_id& of = this_recipe) {
        some_state other(1);
        for (auto& array : other.arrays) std::fill(array.begin(), array.end(), -1.0F);
        const auto before = other.arrays;
        const auto read = read_full_state(s.layout, of, {round}, bytes, other.span());
        return !read.has_value() && other.arrays == before;
    };
    BOOST_TEST(!refused(good));
    auto bytes = good;
    bytes.pop_back();
    BOOST_TEST(refused(bytes), "truncated");
    bytes = good;
    bytes.push_back(0);
    BOOST_TEST(refused(bytes), "too long");
    BOOST_TEST(refused({}), "empty");
    BOOST_TEST(refused({good.begin(), good.begin() + 64}), "a header alone");
    BOOST_TEST(refused(good, 8), "another round");
    BOOST_TEST(refused(good, 7, base::recipe_id{base::sha256("another").bytes}), "another recipe");
    BOOST_TEST(refused(some_state(2).blob({7})), "another method's");
    for (const std::size_t at : {0, 14, 20, 48, 56, 63}) {
        bytes = good;
        bytes[at] ^= 1;
        BOOST_TEST(refused(bytes), "header, byte " << at);
    }
    // A wrong float is read: the digest says so.
    bytes = good;
    bytes[100] ^= 1;
    some_state other(1);
    BOOST_REQUIRE(read_full_state(s.layout, this_recipe, {7}, bytes, other.span()).has_value());
    BOOST_TEST((state_digest(s.layout, other.span()) != state_digest(s.layout, s.span())));
}

BOOST_AUTO_TEST_CASE(states_are_as_far_apart_as_makes_them_cheaper_than_means) {
    struct row {
        std::uint64_t every, state, mean, spacing;
    };
    // Of 1,000 parameters: mxint8, f32 and mxfp4 down with diloco; mxint8 with synchronous.
    for (const auto& r : {row{10, 8000, 1032, 10}, row{10, 8000, 4000, 10}, row{10, 8000, 532, 20},
                          row{10, 12000, 1032, 20}, row{1, 8000, 1032, 8}, row{3, 8000, 1032, 9},
                          row{1, 1, 1000, 1}, row{1000, 8000, 1032, 1000}}) {
        BOOST_TEST(full_state_spacing(r.every, r.state, r.mean) == r.spacing);
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
