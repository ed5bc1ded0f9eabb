#pragma once

/// A job whose containers have several units, and what its lanes sent.

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "base/blob.hpp"
#include "base/rng.hpp"
#include "tests/unit/training/round_fixture.hpp"
#include "training/merge.hpp"

namespace tequio::training {

/// A model of 533,000 parameters: three units of mxint8, two of mxfp4, nine of f32.
struct several_units {
    several_units(const std::string& up, const std::string& down) {
        r = small_recipe(3);
        r.model = {"gpt2", 1, 2, 200, 8, 256};
        r.train.codec = up;
        r.train.codec_down = down;
        layout = layout_of(r.model);
        base::rng chance(up.size() * 7 + down.size());
        for (std::uint64_t lane = 0; lane < 3; ++lane) {
            std::vector<float> values(layout.padded_size);
            for (const auto& t : layout.tensors) {
                for (auto i = t.offset; i < t.offset + t.size; ++i) {
                    const auto code = static_cast<float>(chance.below(2001)) - 1000.0F;
                    values[i] = std::ldexp(code, -30 + static_cast<int>(chance.below(20)));
                }
            }
            lanes.push_back(*encode_contribution(contribution_kind::lane, r, layout, values,
                                                 1.0 / (3.0 + static_cast<double>(lane)),
                                                 lane_tokens(r)));
        }
    }
    std::uint64_t units() const { return shape_of(contribution_kind::mean, r, layout).units(); }
    sum_output whole() const {
        summation s(r, layout);
        for (std::uint64_t lane = 0; lane < 3; ++lane) BOOST_REQUIRE(s.add({lane}, lanes[lane]));
        return *s.finish();
    }
    /// Of the lanes' bytes only those pieces that the shard needs; the others are noise.
    base::byte_vector part(contribution_run units) const {
        summation s(r, layout, units);
        const auto needed = s.extent().lane_units;
        for (const std::uint64_t lane : {2u, 0u, 1u}) {
            auto bytes = lanes[lane];
            for (std::size_t i = 0; i < bytes.size(); ++i) {
                const auto unit = i / base::piece_size_bytes;
                if (unit < needed.first || unit >= needed.end()) bytes[i] = 0xa5;
            }
            BOOST_REQUIRE(s.add({lane}, bytes));
        }
        auto out = *s.part();
        BOOST_TEST(out.size() == s.extent().part_bytes);
        return out;
    }
    base::result<sum_output> join(const std::vector<base::byte_vector>& parts) const {
        const std::vector<base::byte_view> views(parts.begin(), parts.end());
        return join_parts(r, layout, views);
    }

    recipe r;
    state_layout layout;
    std::vector<base::byte_vector> lanes;
};

}  // namespace tequio::training
