#include "node/cli/bench_codecs.hpp"

#include <array>
#include <boost/json.hpp>
#include <cstdio>
#include <cstring>
#include <vector>

#include "base/blob.hpp"
#include "node/cli/measure.hpp"
#include "training/exactness.hpp"
#include "training/merge.hpp"
#include "training/state.hpp"

namespace tequio::node {
namespace {

namespace json = boost::json;
using training::contribution_kind;

constexpr unsigned codec_samples = 5;
constexpr std::chrono::microseconds codec_sample_time{50'000};

struct codec_row {
    const char* codec;
    const char* operation;
    double gigabytes;  ///< a second
    double copied;     ///< by memcpy, likewise
};

/// 21 million parameters: 84 MB of floats.
training::recipe recipe_with(const char* codec) {
    training::recipe r;
    r.model = {"gpt2", 4, 8, 512, 256, 16384};
    r.train.lanes = r.train.rounds = r.train.inner_steps = r.train.batch = 1;
    r.train.codec = r.train.codec_down = codec;
    return r;
}

/// What one codec is measured on.
struct bench_arrays {
    training::recipe work;
    training::state_layout layout;
    training::contribution_shape shape;
    std::vector<float> values, decoded;
    base::byte_vector coded;
    training::element_sums sums;
    base::byte_vector from, to;  ///< for memcpy

    explicit bench_arrays(const char* codec)
        : work(recipe_with(codec)),
          layout(training::layout_of(work.model)),
          shape(training::shape_of(contribution_kind::lane, work, layout)),
          values(layout.padded_size),
          decoded(layout.padded_size),
          coded(shape.size_bytes()),
          sums(shape.codec, {0, layout.padded_size}),
          from((2 * sums.bytes().size() + coded.size()) / 2, 1),
          to(from.size()) {
        // Outer gradients: of either sign, over some powers of two, a different pattern a block.
        for (std::size_t i = 0; i < values.size(); ++i) {
            const auto n = static_cast<std::uint32_t>(i * 2654435761U);
            values[i] = (static_cast<float>(n >> 8) - 0x1p23F) * 0x1p-40F;
        }
        for (const auto& t : layout.tensors) {
            for (auto at = t.offset + t.size; at % training::block_elements != 0; ++at) {
                values[at] = 0;
            }
        }
    }

    base::byte_view unit(std::uint64_t u) const {
        return base::byte_view(coded).subspan(u * base::piece_size_bytes, shape.bytes_in(u));
    }
};

base::result<void> encode(bench_arrays& a) {
    TEQUIO_TRY(const auto counts, training::encode_units(contribution_kind::lane, a.work, a.layout,
                                                         {0, a.shape.units()}, a.values, a.coded));
    training::write_facts({1, training::lane_tokens(a.work), counts.saturated, counts.flushed},
                          a.coded);
    return {};
}

base::result<void> measure_codec(const char* codec, std::vector<codec_row>& rows) {
    bench_arrays a(codec);
    TEQUIO_CHECK(encode(a));
    TEQUIO_TRY(const auto header,
               training::check_contribution(contribution_kind::lane, a.work, a.layout, a.coded));
    (void)header;
    struct operation {
        const char* name;
        std::size_t bytes;
        std::function<void()> run;
    };
    const std::size_t floats = 4 * a.values.size();
    const std::array<operation, 4> operations{
        {{"encode", floats + a.coded.size(), [&] { (void)encode(a); }},
         {"check", a.coded.size(),
          [&] {
              (void)training::check_contribution(contribution_kind::lane, a.work, a.layout,
                                                 a.coded);
          }},
         {"add", a.coded.size() + 2 * a.sums.bytes().size(),
          [&] {
              for (std::uint64_t u = 0; u < a.shape.units(); ++u) {
                  a.sums.add_unit(a.shape, u, a.unit(u));
              }
          }},
         {"decode", a.coded.size() + floats, [&] {
              training::decode_contribution(contribution_kind::lane, a.work, a.coded, a.decoded);
          }}}};
    for (const auto& o : operations) {
        // A copy reads and writes: half as many bytes make as many moved.
        const std::function<void()> copy = [&] {
            std::memcpy(a.to.data(), a.from.data(), o.bytes / 2);
        };
        const auto seconds = measure_in_turn(std::array<std::function<void()>, 2>{o.run, copy},
                                             codec_samples, codec_sample_time);
        const auto moved = static_cast<double>(o.bytes) / 1e9;
        rows.push_back({codec, o.name, moved / seconds[0], moved / seconds[1]});
    }
    return {};
}

void print(cli_context& context, const std::vector<codec_row>& rows) {
    if (context.json) {
        json::array list;
        for (const auto& r : rows) {
            list.push_back(json::object{{"codec", r.codec},
                                        {"operation", r.operation},
                                        {"gigabytes_per_second", r.gigabytes},
                                        {"memcpy_gigabytes_per_second", r.copied},
                                        {"ratio", r.gigabytes / r.copied}});
        }
        context.print_json(
            "bench-codecs",
            {{"target", training::active_target()}, {"threads", 1}, {"rows", std::move(list)}});
        return;
    }
    std::printf("%-8s %-8s %10s %10s %8s\n", "codec", "does", "GB/s", "memcpy", "ratio");
    for (const auto& r : rows) {
        std::printf("%-8s %-8s %10.1f %10.1f %8.2f\n", r.codec, r.operation, r.gigabytes, r.copied,
                    r.gigabytes / r.copied);
    }
}

}  // namespace

base::result<void> bench_codecs(cli_context& context) {
    std::vector<codec_row> rows;
    for (const char* codec : {"f32", "mxint8", "mxfp4"}) TEQUIO_CHECK(measure_codec(codec, rows));
    print(context, rows);
    return {};
}

}  // namespace tequio::node
