#include "training/model_folder.hpp"

#include <cstdio>

#include "base/ensure.hpp"
#include "training/errc.hpp"
#include "training/model/family.hpp"
#include "training/model/folder_config.hpp"
#include "training/model/mlp_folder.hpp"
#include "training/model/run_card.hpp"
#include "training/model/safetensors.hpp"
#include "training/model/weight_files.hpp"
#include "training/round/recipe_fields.hpp"

namespace tequio::training {
namespace {

base::byte_vector bytes_of(std::string_view text) {
    const auto view = base::as_bytes(text);
    return {view.begin(), view.end()};
}

/// Cuts the tensors, in order, into runs of at most `most` bytes; 0: one run.
std::vector<std::span<const tensor_spec>> shards_of(std::span<const tensor_spec> tensors,
                                                    std::uint64_t most, weight_type type) {
    std::vector<std::span<const tensor_spec>> out;
    std::size_t first = 0;
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        const auto size = tensors[i].size * size_of(type);
        if (most != 0 && i > first && (size > most || bytes > most - size)) {
            out.push_back(tensors.subspan(first, i - first));
            first = i;
            bytes = 0;
        }
        bytes += size;
    }
    out.push_back(tensors.subspan(first));
    return out;
}

std::string shard_name(std::size_t index, std::size_t count) {
    char name[64];
    std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", index + 1, count);
    return name;
}

/// Source: transformers, modeling_utils.py (save_pretrained): the keys of an index.
void add_index(std::span<const std::span<const tensor_spec>> shards, weight_type type,
               folder_files& out) {
    std::string map;
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < shards.size(); ++i) {
        for (const auto& t : shards[i]) {
            (map += map.empty() ? "" : ",\n") += "    \"" + t.name + "\": \"";
            map += shard_name(i, shards.size()) + "\"";
            bytes += t.size * size_of(type);
        }
    }
    out[index_file_name] =
        bytes_of("{\n  \"metadata\": {\n    \"total_size\": " + std::to_string(bytes) +
                 "\n  },\n  \"weight_map\": {\n" + map + "\n  }\n}\n");
}

void add_weights(const model_config& model, std::span<const float> parameters,
                 const folder_options& options, folder_files& out) {
    const auto layout = layout_of(model);
    base::ensure(parameters.size() == layout.padded_size, "parameters of this layout");
    const auto shards = shards_of(layout.tensors, options.shard_max_bytes, options.type);
    for (std::size_t i = 0; i < shards.size(); ++i) {
        const auto name =
            shards.size() == 1 ? std::string(weights_file_name) : shard_name(i, shards.size());
        out[name] = write_safetensors(shards[i], parameters, options.type);
    }
    if (shards.size() > 1) add_index(shards, options.type, out);
}

/// Enough for transformers to open tokenizer.json.
std::string tokenizer_config_text(const model_config& model) {
    return "{\n  \"clean_up_tokenization_spaces\": false,\n  \"model_max_length\": " +
           std::to_string(model.context) +
           ",\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n";
}

void add_config(const model_config& model, const folder_options& options, folder_files& out) {
    out[config_file_name] = bytes_of(config_text(model, options));
    if (options.tokenizer_file) {
        out["tokenizer_config.json"] = bytes_of(tokenizer_config_text(model));
    }
}

void add_card(const model_config& model, const run_card& card, const folder_options& options,
              folder_files& out) {
    out["README.md"] = bytes_of(card_text(model, card, options));
    if (!card.shifts.empty()) {
        out["inputs.safetensors"] = mlp_input_scales(card.shifts, card.factors);
    }
}

}  // namespace

folder_files write_model_files(const model_config& model, std::span<const float> parameters,
                               const folder_options& options) {
    folder_files out;
    add_config(model, options, out);
    add_weights(model, parameters, options, out);
    return out;
}

folder_files write_model_folder(const model_config& model, std::span<const float> parameters,
                                const run_card& card, const folder_options& options) {
    auto out = write_model_files(model, parameters, options);
    add_card(model, card, options, out);
    return out;
}

folder_files write_model_texts(const model_config& model, const run_card& card,
                               bool tokenizer_file) {
    const folder_options options{.tokenizer_file = tokenizer_file};
    folder_files out;
    add_config(model, options, out);
    add_card(model, card, options, out);
    return out;
}

weights_plan plan_weights(const model_config& model) {
    weights_plan out;
    out.layout = layout_of(model);
    out.header = safetensors_header(out.layout.tensors, weight_type::f32);
    out.size = out.header.size();
    for (const auto& t : out.layout.tensors) {
        out.places.push_back(out.size);
        out.size += t.size * size_of(weight_type::f32);
    }
    return out;
}

base::result<model_config> read_model_config(base::byte_view config_json) {
    TEQUIO_TRY(auto model, parse_config(config_json));
    if (find_family(model.family) == nullptr) {
        return fail(errc::not_in_version,
                    std::string(config_file_name) + ": the family " + model.family +
                        " is not in this version (has: " + join_words(families_has) + ")");
    }
    std::vector<field_fault> faults;
    check_model_relations(model, faults);
    if (faults.empty()) return model;
    return fail(errc::bad_state, std::string(config_file_name) + ": " + faults.front().text());
}

base::result<loaded_model> load_model_folder(const folder_view& files) {
    loaded_model out;
    TEQUIO_TRY(out.model, read_model_config(files.config));
    TEQUIO_TRY(const auto weights, weight_files::open(files, out.model));
    out.layout = weights.layout();
    out.parameters.assign(out.layout.padded_size, 0.0F);
    for (std::size_t i = 0; i < out.layout.tensors.size(); ++i) {
        const auto& t = out.layout.tensors[i];
        TEQUIO_CHECK(weights.read(i, std::span(out.parameters).subspan(t.offset, t.size)));
    }
    return out;
}

base::result<base::byte_vector> load_first_weights(const folder_view& files,
                                                   const model_config& model) {
    TEQUIO_TRY(const auto weights, weight_files::open(files, model));
    const auto& layout = weights.layout();
    base::byte_vector out;
    out.reserve(layout.parameters * sizeof(float));
    std::vector<float> values;
    for (std::size_t i = 0; i < layout.tensors.size(); ++i) {
        values.resize(layout.tensors[i].size);
        TEQUIO_CHECK(weights.read(i, values));
        const auto bytes = float_bytes(values);
        out.insert(out.end(), bytes.begin(), bytes.end());
    }
    return out;
}

}  // namespace tequio::training
