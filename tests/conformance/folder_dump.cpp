/// For pytorch_folders.py. Two forms:
///
///     folder_dump write DIR gpt2|llama|llama-untied f32|bf16 SHARD-BYTES
///         a small model with every parameter drawn, as `job fetch` writes it
///     folder_dump logits DIR
///         reads the folder and DIR/tokens.bin (u32), and writes DIR/logits.bin (float32): after
///         each token the scores of the next, (tokens, vocabulary)

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/ensure.hpp"
#include "base/rng.hpp"
#include "base/text.hpp"
#include "training/model/family.hpp"
#include "training/model_folder.hpp"

namespace {

using namespace tequio;

base::byte_vector read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    base::ensure(in.good(), "the file can be read");
    return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const std::string& path, base::byte_view bytes) {
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
    base::ensure(out.good(), "the folder can be written");
}

training::model_config model_of(const std::string& kind) {
    if (kind == "gpt2") return {"gpt2", 3, 4, 64, 48, 300};
    training::model_config m{"llama", 3, 8, 64, 48, 300};
    m.kv_heads = 2;
    m.hidden = 176;
    m.rope_theta = 5000;
    m.norm_epsilon = 1e-5;
    m.tied = kind == "llama";
    return m;
}

int write(char** argv) {
    const std::string folder = std::string(argv[2]) + "/";
    const auto model = model_of(argv[3]);
    const auto layout = training::layout_of(model);
    std::vector<float> parameters(layout.padded_size);
    base::rng rng(5);
    for (const auto& t : layout.tensors) {
        for (std::uint64_t i = 0; i < t.size; ++i) {
            const auto noise = static_cast<float>(rng.below(20001)) / 10000 - 1;
            parameters[t.offset + i] = t.initial_value + 0.12F * noise;
        }
    }
    training::folder_options options;
    if (std::string(argv[4]) == "bf16") options.type = training::weight_type::bf16;
    options.shard_max_bytes = base::parse_u64(argv[5]).value();
    for (const auto& [name, bytes] : training::write_model_files(model, parameters, options)) {
        write_file(folder + name, bytes);
    }
    return 0;
}

training::loaded_model load(const std::string& folder) {
    std::map<std::string, base::byte_vector> files;
    training::folder_view view;
    const auto file = [&](const std::string& name) -> base::byte_view {
        return files[name] = read_file(folder + name);
    };
    view.config = file(training::config_file_name);
    std::vector<std::string> names{training::weights_file_name};
    if (!std::ifstream(folder + training::weights_file_name).good()) {
        view.index = file(training::index_file_name);
        names = training::shard_names(*view.index).value();
    }
    for (const auto& name : names) view.weights[name] = file(name);
    auto model = training::load_model_folder(view);
    if (!model) std::fprintf(stderr, "%s\n", model.error().message().c_str());
    return std::move(model).value();
}

int logits(char** argv) {
    using namespace training;
    const std::string folder = std::string(argv[2]) + "/";
    const auto model = load(folder);
    const auto bytes = read_file(folder + "tokens.bin");
    base::byte_reader in(bytes);
    std::vector<std::uint32_t> tokens(bytes.size() / 4);
    for (auto& t : tokens) t = in.u32();
    arena_plan total;
    serial_executor run;
    const auto plan = family_of(model.model).plan(model.model, whole_of(model.model), {1, 1}, false, 1, total);
    const auto memory = arena::create(total).value();
    const auto network = plan->build(model.layout, memory, run);
    std::vector<float> out(tokens.size() * model.model.vocabulary);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        network->next_logits(
            model.parameters, {std::span(tokens).first(i + 1), {}, {}, i + 1},
            std::span(out).subspan(i * model.model.vocabulary, model.model.vocabulary));
    }
    write_file(folder + "logits.bin", float_bytes(out));
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string what = argc > 1 ? argv[1] : "";
    if (what == "write" && argc == 6) return write(argv);
    if (what == "logits" && argc == 3) return logits(argv);
    std::fputs("usage: folder_dump write DIR MODEL TYPE SHARD-BYTES | logits DIR\n", stderr);
    return 2;
}
