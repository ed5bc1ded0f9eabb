#include "training/examples.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/sha256.hpp"
#include "training/data/raw_examples.hpp"
#include "training/errc.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/philox.hpp"
#include "training/round/lines.hpp"

namespace tequio::training {
namespace {

constexpr std::string_view stream_example_order = "example order";

base::byte_vector label_bytes(const raw_examples& raw) {
    base::byte_vector out;
    out.reserve(4 * raw.labels.size());
    base::byte_writer writer(out);
    for (const auto label : raw.labels) writer.u32(label);
    return out;
}

/// order[i]: which example of the files stands at place i.
std::vector<std::uint32_t> order_of(const raw_examples& raw, bool shuffle) {
    std::vector<std::uint32_t> order(raw.examples());
    std::iota(order.begin(), order.end(), 0U);
    if (!shuffle) return order;
    base::sha256_stream digest;
    digest.add(label_bytes(raw)).add(raw.values);
    const numerics::draws draws(numerics::derive_key(stream_example_order, 0, digest.finish()), {});
    using wide = unsigned __int128;
    for (std::uint64_t i = order.size() - 1; i > 0; --i) {
        const auto low = std::uint64_t{draws.word(2 * i)};
        const auto high = std::uint64_t{draws.word(2 * i + 1)};
        const auto j = static_cast<std::uint64_t>((wide{high << 32 | low} * (i + 1)) >> 64);
        std::swap(order[i], order[j]);
    }
    return order;
}

float value_at(const raw_examples& raw, std::uint64_t example, std::uint64_t input) {
    std::uint32_t bits = 0;
    const auto* p = raw.values.data() + 4 * (example * raw.inputs + input);
    for (int i = 0; i < 4; ++i) bits |= std::uint32_t{p[i]} << (8 * i);
    return std::bit_cast<float>(bits);
}

struct scale {
    float shift = 0;
    float factor = 1;
};

/// Mean and deviation of one column over the first `training` examples. Two passes: the second
/// subtracts the mean before it squares, so that large means cost no digits.
scale scale_of(const raw_examples& raw, std::span<const std::uint32_t> order,
               std::uint64_t training, std::uint64_t input) {
    const auto n = static_cast<double>(training);
    double sum = 0;
    for (std::uint64_t i = 0; i < training; ++i) sum += value_at(raw, order[i], input);
    const double mean = sum / n;
    double squares = 0;
    for (std::uint64_t i = 0; i < training; ++i) {
        const double distance = value_at(raw, order[i], input) - mean;
        squares += distance * distance;
    }
    const double deviation = std::sqrt(squares / n);
    scale out{numerics::flush_subnormal(static_cast<float>(mean)), 1};
    if (deviation > 0) out.factor = static_cast<float>(1 / deviation);
    return out;
}

base::result<std::vector<scale>> scales_of(const raw_examples& raw,
                                           std::span<const std::uint32_t> order,
                                           std::uint64_t training) {
    std::vector<scale> out(raw.inputs, scale{0, 1.0F / 255.0F});
    if (raw.value_bytes == 1) return out;
    for (std::uint64_t c = 0; c < raw.inputs; ++c) {
        out[c] = scale_of(raw, order, training, c);
        // A stray value can be so far out, or all so close together, that a node would compute
        // infinity from it, or nothing at all.
        bool fine = out[c].factor == numerics::flush_subnormal(out[c].factor);
        for (std::uint64_t i = 0; fine && i < order.size(); ++i) {
            const float x = (value_at(raw, i, c) - out[c].shift) * out[c].factor;
            fine = numerics::finite(x);
        }
        if (fine) continue;
        const auto name =
            raw.input_names.empty() ? std::string() : " " + quoted(raw.input_names[c]);
        return fail(errc::bad_data, "data: number column " + std::to_string(c + 1) + name +
                                        ": found values that leave float32 when they are brought "
                                        "to mean 0 and deviation 1, allowed: values of like size");
    }
    return out;
}

base::byte_vector blob_of(const raw_examples& raw, std::span<const std::uint32_t> order,
                          std::span<const scale> scales) {
    base::byte_vector out;
    const auto row = raw.inputs * raw.value_bytes;
    out.reserve(example_head_bytes(raw.inputs) +
                raw.examples() * example_bytes(raw.inputs, raw.value_bytes));
    base::byte_writer writer(out);
    for (const auto& s : scales) writer.u32(std::bit_cast<std::uint32_t>(s.shift));
    for (const auto& s : scales) writer.u32(std::bit_cast<std::uint32_t>(s.factor));
    for (const auto example : order) {
        writer.u32(raw.labels[example]);
        writer.raw(base::byte_view(raw.values).subspan(example * row, row));
    }
    return out;
}

base::result<file_kind> kind_of(std::span<const source_file> files) {
    if (files.empty()) return fail(errc::bad_data, "data: no file, so nothing to train on");
    const auto kind = file_kind_of(files[0].name);
    for (const auto& file : files) {
        const auto other = file_kind_of(file.name);
        if (other != kind || !holds_examples(kind)) {
            return fail(errc::bad_data, "data: " + quoted(file.name) + " holds " +
                                            std::string(file_kind_name(other)) + " and " +
                                            quoted(files[0].name) + " " +
                                            std::string(file_kind_name(kind)) +
                                            ": one job trains on one kind");
        }
        if (file.bytes.empty()) {
            return fail(errc::bad_data, "data: " + quoted(file.name) + " is empty");
        }
    }
    return kind;
}

}  // namespace

data_config config_of(const example_data& data) {
    return {data.ref, data.value_bytes, data.examples, data.validation};
}

base::result<example_data> read_examples(std::span<const source_file> files,
                                         const example_options& options) {
    TEQUIO_TRY(const auto kind, kind_of(files));
    if (!(options.validation_share >= 0 && options.validation_share < 1)) {  // NaN is neither
        return fail(errc::bad_data, "data: the validation share is from 0 to below 1");
    }
    auto read = kind == file_kind::idx ? read_idx(files) : read_csv(files, options);
    if (!read) return read.error();
    const raw_examples raw = std::move(*read);
    const auto count = raw.examples();
    const auto validation = static_cast<std::uint64_t>(
        std::floor(options.validation_share * static_cast<double>(count)));
    if (options.validation_share > 0 && validation == 0) {
        return fail(errc::bad_data,
                    "data: the validation part of " + std::to_string(count) +
                        " examples has none: raise data.validation, or set data.validation = 0");
    }
    if (raw.class_names.size() < 2) {
        return fail(errc::bad_data, "data: found one class, allowed: at least two");
    }
    const auto order = order_of(raw, options.shuffle);
    TEQUIO_TRY(const auto scales, scales_of(raw, order, count - validation));
    example_data out;
    out.blob = blob_of(raw, order, scales);
    out.ref = base::blob_ref_of(out.blob);
    out.examples = count;
    out.validation = validation;
    out.inputs = raw.inputs;
    out.classes = raw.class_names.size();
    out.value_bytes = raw.value_bytes;
    out.class_names = raw.class_names;
    out.input_names = raw.input_names;
    return out;
}

}  // namespace tequio::training
