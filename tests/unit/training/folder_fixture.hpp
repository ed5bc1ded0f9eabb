#pragma once

/// Folders as others write them, made by hand: other names, other element types, several files.

#include <bit>
#include <boost/test/unit_test.hpp>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/rng.hpp"
#include "training/model_folder.hpp"

namespace tequio::training::folders {

/// One tensor to be written: its bytes in the type that `type` names.
struct raw_tensor {
    std::string type;
    std::vector<std::uint64_t> shape;
    base::byte_vector bytes;
};
using raw_tensors = std::map<std::string, raw_tensor>;

/// A safetensors file, written by other code than the program's.
inline base::byte_vector file_of(const raw_tensors& tensors) {
    std::string header = "{";
    base::byte_vector data;
    for (const auto& [name, t] : tensors) {
        std::string shape;
        for (const auto n : t.shape) shape += (shape.empty() ? "" : ",") + std::to_string(n);
        header += (header.size() > 1 ? "," : "") + ("\"" + name + "\":{\"shape\":[") + shape +
                  "],\"dtype\":\"" + t.type + "\",\"data_offsets\":[" +
                  std::to_string(data.size()) + "," + std::to_string(data.size() + t.bytes.size()) +
                  "]}";
        data.insert(data.end(), t.bytes.begin(), t.bytes.end());
    }
    header += "}";
    base::byte_vector file;
    base::byte_writer out(file);
    out.u64(header.size());
    out.raw(base::as_bytes(header));
    out.raw(data);
    return file;
}

/// Multiples of 1/8 between -4 and 4: exact in all three types.
inline std::vector<float> eighths(std::size_t count, std::uint64_t seed) {
    base::rng rng(seed);
    std::vector<float> out(count);
    for (float& x : out) x = static_cast<float>(rng.below(65)) / 8 - 4;
    return out;
}

/// `values` in a type; exact for multiples of 1/8 below 4 in size.
inline base::byte_vector bytes_of(const std::vector<float>& values, const std::string& type) {
    base::byte_vector out;
    base::byte_writer w(out);
    for (const float x : values) {
        const auto bits = std::bit_cast<std::uint32_t>(x);
        if (type == "F32") {
            w.u32(bits);
        } else if (type == "BF16") {
            w.u16(static_cast<std::uint16_t>(bits >> 16));
        } else {  // F16: another bias, 13 bits of fraction fewer
            const auto magnitude = bits & 0x7fffffffU;
            const auto half = magnitude == 0 ? 0 : (magnitude - ((127U - 15U) << 23)) >> 13;
            w.u16(static_cast<std::uint16_t>(half | (bits >> 16 & 0x8000U)));
        }
    }
    return out;
}

/// A model's tensors under the layout's names, with the values that a reader must find.
struct sample_model {
    model_config model;
    state_layout layout = layout_of(model);
    std::vector<float> expected = std::vector<float>(layout.padded_size);
    raw_tensors tensors;

    explicit sample_model(model_config m, const std::string& type) : model(std::move(m)) {
        std::uint64_t seed = 1;
        for (const auto& t : layout.tensors) {
            const auto values = eighths(t.size, ++seed);
            std::copy(values.begin(), values.end(),
                      expected.begin() + static_cast<std::ptrdiff_t>(t.offset));
            tensors[t.name] = {type, t.shape, bytes_of(values, type)};
        }
    }
    void rename(const std::string& from, const std::string& to) {
        auto node = tensors.extract(from);
        BOOST_REQUIRE(!node.empty());
        node.key() = to;
        tensors.insert(std::move(node));
    }
};

inline base::result<loaded_model> load(const std::string& config, const base::byte_vector& file) {
    folder_view view;
    view.config = base::as_bytes(config);
    view.weights["model.safetensors"] = file;
    return load_model_folder(view);
}

/// What transformers needs of a GPT-2 config.json, and little more.
inline std::string gpt2_config(const model_config& m, const std::string& more = "") {
    return "{\"model_type\": \"gpt2\", \"architectures\": [\"GPT2LMHeadModel\"], \"n_layer\": " +
           std::to_string(m.layers) + ", \"n_head\": " + std::to_string(m.heads) +
           ", \"n_embd\": " + std::to_string(m.width) +
           ", \"n_positions\": " + std::to_string(m.context) +
           ", \"vocab_size\": " + std::to_string(m.vocabulary) +
           ", \"task_specific_params\": {\"text-generation\": {\"do_sample\": true}}" + more + "}";
}

}  // namespace tequio::training::folders
