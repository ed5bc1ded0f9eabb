// Folders that others wrote: names, element types, several files, and what is wrong with them.
#include <boost/test/unit_test.hpp>
#include <limits>

#include "tests/unit/training/folder_fixture.hpp"
#include "training/errc.hpp"
#include "training/model/safetensors.hpp"

namespace tequio::training {
namespace {

using namespace folders;

const model_config read_model{"gpt2", 2, 2, 8, 6, 50};

/// Fails unless loading ends in `code` and the sentence has all `words`.
void refused(const base::result<loaded_model>& loaded, errc code,
             std::initializer_list<const char*> words) {
    BOOST_REQUIRE(!loaded);
    BOOST_TEST(loaded.error().is(code), loaded.error().message());
    for (const auto* word : words) {
        BOOST_TEST(loaded.error().message().find(word) != std::string::npos,
                   word << " in " << loaded.error().message());
    }
}

/// Two files and the index that says what is where.
struct two_files {
    sample_model model{read_model, "BF16"};
    raw_tensors parts[2];
    std::map<std::string, base::byte_vector> files;
    std::string index;
    std::string config = gpt2_config(read_model);

    two_files() {
        int n = 0;
        std::string map;
        for (const auto& [name, t] : model.tensors) {
            const int part = n++ % 2;
            parts[part][name] = t;
            map += (map.empty() ? "" : ", ") + ("\"" + name + "\": \"" + file_name(part) + "\"");
        }
        index = "{\"metadata\": {\"total_size\": 1, \"x\": {\"y\": [1]}}, \"weight_map\": {" + map +
                "}}";
        for (const int part : {0, 1}) files[file_name(part)] = file_of(parts[part]);
    }
    static std::string file_name(int part) {
        return "model-0000" + std::to_string(part + 1) + "-of-00002.safetensors";
    }
    base::result<loaded_model> load() const {
        folder_view view;
        view.config = base::as_bytes(config);
        view.index = base::as_bytes(index);
        for (const auto& [name, bytes] : files) view.weights[name] = bytes;
        return load_model_folder(view);
    }
    void replace_in_index(const std::string& from, const std::string& to) {
        const auto at = index.find(from);
        BOOST_REQUIRE(at != std::string::npos);
        index.replace(at, from.size(), to);
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(folder_reading)

BOOST_AUTO_TEST_CASE(all_three_element_types_are_read_exactly) {
    for (const std::string type : {"F32", "F16", "BF16"}) {
        const sample_model m(read_model, type);
        const auto loaded = load(gpt2_config(read_model), file_of(m.tensors));
        BOOST_REQUIRE_MESSAGE(loaded, type << ": " << loaded.error().message());
        BOOST_TEST((loaded->model == read_model));
        BOOST_TEST(loaded->parameters == m.expected, type);
    }
}

BOOST_AUTO_TEST_CASE(names_without_prefix_and_old_buffers_are_those_of_the_hub) {
    sample_model m(read_model, "F32");
    for (const auto& t : m.layout.tensors) {
        m.rename(t.name, t.name.substr(std::string("transformer.").size()));
    }
    m.tensors["h.0.attn.bias"] = {"U8", {1, 1, 6, 6}, base::byte_vector(36)};
    m.tensors["h.1.attn.bias"] = {"BOOL", {1, 1, 6, 6}, base::byte_vector(36)};
    m.tensors["h.0.attn.masked_bias"] = {"F32", {}, base::byte_vector(4)};
    const auto loaded = load(gpt2_config(read_model), file_of(m.tensors));
    BOOST_REQUIRE_MESSAGE(loaded, loaded.error().message());
    BOOST_TEST(loaded->parameters == m.expected);
}

BOOST_AUTO_TEST_CASE(a_head_that_repeats_the_embedding_is_left_out_another_is_refused) {
    sample_model m(read_model, "F32");
    const auto& wte = m.tensors.at("transformer.wte.weight");
    // Equal in value is enough.
    const auto& spec = m.layout.tensor("transformer.wte.weight");
    std::vector<float> values(
        m.expected.begin() + static_cast<std::ptrdiff_t>(spec.offset),
        m.expected.begin() + static_cast<std::ptrdiff_t>(spec.offset + spec.size));
    for (const std::string type : {"F32", "F16"}) {
        m.tensors["lm_head.weight"] = {type, wte.shape, bytes_of(values, type)};
        const auto loaded = load(gpt2_config(read_model), file_of(m.tensors));
        BOOST_REQUIRE_MESSAGE(loaded, loaded.error().message());
        BOOST_TEST(loaded->parameters == m.expected);
    }
    values.back() += 0.125F;
    m.tensors["lm_head.weight"].bytes = bytes_of(values, "F16");
    refused(load(gpt2_config(read_model), file_of(m.tensors)), errc::not_in_version,
            {"model.safetensors", "head", "transformer.wte.weight"});
    m.tensors["lm_head.weight"] = {"F32", {1}, base::byte_vector(4)};
    refused(load(gpt2_config(read_model), file_of(m.tensors)), errc::not_in_version, {"head"});
}

BOOST_AUTO_TEST_CASE(values_are_flushed_and_those_not_finite_refused) {
    const auto with = [](const std::string& type, std::uint64_t bits) {
        sample_model m(read_model, type);
        auto& bytes = m.tensors.at("transformer.ln_f.bias").bytes;
        std::memcpy(bytes.data() + bytes.size() -
                        size_of(type == "F32" ? weight_type::f32 : weight_type::bf16),
                    &bits, type == "F32" ? 4 : 2);
        return load(gpt2_config(read_model), file_of(m.tensors));
    };
    for (const auto& [type, bits] :
         std::vector<std::pair<std::string, std::uint64_t>>{{"F32", 0x7f800000},
                                                            {"F32", 0xffc00000},
                                                            {"F16", 0x7c00},
                                                            {"F16", 0xfe00},
                                                            {"BF16", 0xff80},
                                                            {"BF16", 0x7fc0}}) {
        refused(with(type, bits), errc::bad_state,
                {"model.safetensors", "transformer.ln_f.bias", "not finite"});
    }
    const auto last = [&](const std::string& type, std::uint64_t bits) {
        const auto loaded = with(type, bits).value();
        const auto& t = loaded.layout.tensor("transformer.ln_f.bias");
        return std::bit_cast<std::uint32_t>(loaded.parameters[t.offset + t.size - 1]);
    };
    BOOST_TEST(last("F32", 0x807fffff) == 0U);
    BOOST_TEST(last("F32", 0x80000000) == 0U);
    BOOST_TEST(last("BF16", 0x277f) == 0U);
    BOOST_TEST(last("BF16", 0x2780) == 0x27800000U);  // 2^-48
    BOOST_TEST(last("F16", 0x8000) == 0U);
    BOOST_TEST(last("F16", 0x0001) == 0x33800000U);  // 2^-24
}

BOOST_AUTO_TEST_CASE(wrong_tensors_are_named) {
    const auto edited = [](const std::function<void(sample_model&)>& edit) {
        sample_model m(read_model, "F32");
        edit(m);
        return load(gpt2_config(read_model), file_of(m.tensors));
    };
    refused(edited([](auto& m) { m.tensors.erase("transformer.h.1.ln_2.bias"); }), errc::bad_state,
            {"transformer.h.1.ln_2.bias"});
    refused(edited([](auto& m) {
                m.tensors["score.weight"] = {"F32", {1}, {0, 0, 0, 0}};
            }),
            errc::bad_state, {"model.safetensors", "score.weight"});
    refused(edited([](auto& m) {
                m.tensors.at("transformer.h.0.attn.c_attn.weight").shape = {24, 8};
            }),
            errc::bad_state, {"model.safetensors", "c_attn.weight", "(24, 8)", "(8, 24)"});
    refused(edited([](auto& m) { m.tensors["wte.weight"] = m.tensors["transformer.wte.weight"]; }),
            errc::bad_state, {"wte.weight", "before"});
    refused(edited([](auto& m) {
                auto& t = m.tensors.at("transformer.ln_f.bias");
                t = {"F64", t.shape, base::byte_vector(64)};
            }),
            errc::not_in_version, {"transformer.ln_f.bias", "F64", "F32, F16, BF16"});
    refused(edited([](auto& m) {
                auto& t = m.tensors.at("transformer.ln_f.bias");
                t = {"I32", t.shape, base::byte_vector(32)};
            }),
            errc::not_in_version, {"I32"});
}

BOOST_AUTO_TEST_CASE(a_config_that_claims_more_than_the_files_hold_is_refused_early) {
    const sample_model m(read_model, "F32");
    for (const auto& claims :
         {model_config{"gpt2", 1024, 2, 8, 6, 50}, model_config{"gpt2", 2, 2, 8, 6, 1048576},
          model_config{"gpt2", 2, 256, 65536, 6, 50}}) {
        refused(load(gpt2_config(claims), file_of(m.tensors)), errc::bad_state, {"config.json"});
    }
}

BOOST_AUTO_TEST_CASE(several_files_are_read_by_their_index) {
    const two_files folder;
    const auto loaded = folder.load();
    BOOST_REQUIRE_MESSAGE(loaded, loaded.error().message());
    BOOST_TEST(loaded->parameters == folder.model.expected);
}

BOOST_AUTO_TEST_CASE(an_index_that_does_not_fit_its_files_is_refused) {
    const auto missing_file = [] {
        two_files f;
        f.files.erase(f.file_name(1));
        return f.load();
    };
    refused(missing_file(), errc::bad_state, {"model-00002-of-00002.safetensors", "missing"});
    two_files wrong_place;
    wrong_place.replace_in_index("\"transformer.wte.weight\": \"model-00002",
                                 "\"transformer.wte.weight\": \"model-00001");
    refused(wrong_place.load(), errc::bad_state, {"transformer.wte.weight", "index"});
    two_files unknown;
    unknown.replace_in_index("\"weight_map\": {",
                             "\"weight_map\": {\"more\": \"model-00001-of-00002.safetensors\", ");
    refused(unknown.load(), errc::bad_state, {"more", "model-00001-of-00002.safetensors"});
    two_files twice;
    twice.parts[0]["transformer.wte.weight"] = twice.model.tensors.at("transformer.wte.weight");
    twice.files[twice.file_name(0)] = file_of(twice.parts[0]);
    refused(twice.load(), errc::bad_state, {"transformer.wte.weight"});
}

BOOST_AUTO_TEST_CASE(an_index_may_name_files_of_its_folder_alone) {
    for (const std::string name :
         {"../model.safetensors", "/etc/passwd", "a/b.safetensors", "..safetensors", "",
          ".model.safetensors", "model.bin", "\\u001b[2J.safetensors", "m\\u0000.safetensors"}) {
        const auto names = shard_names(
            base::as_bytes("{\"weight_map\": {\"transformer.wte.weight\": \"" + name + "\"}}"));
        BOOST_TEST(!names, name);
        if (names) continue;
        BOOST_TEST(names.error().is(errc::bad_state));
        BOOST_TEST(names.error().message().find("model.safetensors.index.json") == 0U);
        BOOST_TEST(names.error().message().find('\x1b') == std::string::npos);
    }
    for (const std::string text :
         {"", "[]", "{}", "{\"weight_map\": {}}", "{\"weight_map\": []}", "{\"weight_map\": 5}",
          "{\"weight_map\": {\"a\": 5}}", "{\"weight_map\": {\"a\": [\"b.safetensors\"]}}",
          "{\"weight_map\": {\"a\": \"b.safetensors\", \"a\": \"b.safetensors\"}}",
          "{\"weight_map\": {\"a\": \"b.safetensors\"}", "{\"weight_map\": {\"a\": {}}}"}) {
        BOOST_TEST(!shard_names(base::as_bytes(text)), text);
    }
    std::string many = "{\"weight_map\": {\"a\": \"b.safetensors\"";
    for (int i = 0; i < 2000; ++i) {
        many += ", \"t" + std::to_string(i) + "\": \"f" + std::to_string(i) + ".safetensors\"";
    }
    BOOST_TEST(!shard_names(base::as_bytes(many + "}}")));
    BOOST_TEST(!shard_names(base::as_bytes("{\"metadata\":" + std::string(1000, '['))));
}

BOOST_AUTO_TEST_CASE(first_weights_are_all_tensors_by_name_without_padding) {
    const sample_model m(read_model, "F16");
    const auto config = gpt2_config(read_model);
    const auto file = file_of(m.tensors);
    folder_view view;
    view.config = base::as_bytes(config);
    view.weights["model.safetensors"] = file;
    const auto blob = load_first_weights(view, read_model).value();
    base::byte_vector expected;
    for (const auto& t : m.layout.tensors) {
        const auto bytes = float_bytes(std::span(m.expected).subspan(t.offset, t.size));
        expected.insert(expected.end(), bytes.begin(), bytes.end());
    }
    BOOST_TEST((blob == expected));
    BOOST_TEST(blob.size() == 4 * m.layout.parameters);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
