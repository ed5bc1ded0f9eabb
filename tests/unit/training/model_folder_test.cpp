#include "training/model_folder.hpp"

#include <bit>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>

#include "base/rng.hpp"
#include "training/errc.hpp"
#include "training/model/safetensors.hpp"
#include "training/numerics/float_formats.hpp"

namespace tequio::training {
namespace {

const model_config small{"gpt2", 2, 2, 8, 6, 256};

std::vector<float> some_parameters(const state_layout& layout) {
    std::vector<float> flat(layout.padded_size, 0.0F);
    base::rng rng(3);
    for (const auto& t : layout.tensors) {
        for (std::uint64_t i = 0; i < t.size; ++i) {
            flat[t.offset + i] = static_cast<float>(rng.below(1000)) / 1000.0F - 0.5F;
        }
    }
    return flat;
}

struct fixture {
    state_layout layout = layout_of(small);
    std::vector<float> parameters = some_parameters(layout);
    run_card card;
    folder_files files = write_model_folder(small, parameters, card);

    std::string config() const { return std::string(base::as_text(files.at("config.json"))); }
    base::result<loaded_model> load(const std::string& config_text,
                                    const base::byte_vector& tensors) const {
        folder_view view;
        view.config = base::as_bytes(config_text);
        view.weights["model.safetensors"] = tensors;
        return load_model_folder(view);
    }
    base::byte_vector tensors() const { return files.at("model.safetensors"); }
};

/// A file with this header text and data.
base::byte_vector file_of(const std::string& header, std::size_t data_bytes) {
    base::byte_vector file;
    base::byte_writer out(file);
    out.u64(header.size());
    out.raw(base::as_bytes(header));
    file.resize(file.size() + data_bytes);
    return file;
}

std::string with_text(std::string text, const std::string& from, const std::string& to) {
    const auto at = text.find(from);
    BOOST_REQUIRE_MESSAGE(at != std::string::npos, from + " is there to be replaced");
    return text.replace(at, from.size(), to);
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(model_folder, fixture)

BOOST_AUTO_TEST_CASE(reads_back_what_it_wrote) {
    const auto loaded = load(config(), tensors());
    BOOST_REQUIRE(loaded.has_value());
    BOOST_TEST((loaded->model == small));
    BOOST_TEST(loaded->parameters == parameters);
}

BOOST_AUTO_TEST_CASE(equal_parameters_give_equal_bytes_whatever_the_card_says) {
    card.name = "another";
    const auto again = write_model_folder(small, parameters, card);
    BOOST_TEST(again.at("model.safetensors") == files.at("model.safetensors"));
    BOOST_TEST(again.at("config.json") == files.at("config.json"));
    BOOST_TEST(again.at("README.md") != files.at("README.md"));
}

BOOST_AUTO_TEST_CASE(weights_are_cut_into_files_that_read_back) {
    const auto last = "model-00003-of-00003.safetensors";
    const auto shards = write_model_files(small, parameters, {.shard_max_bytes = 6000});
    BOOST_TEST_REQUIRE(shards.contains(last));
    BOOST_TEST(!shards.contains("model.safetensors"));
    const auto& index = shards.at("model.safetensors.index.json");
    BOOST_TEST((shard_names(index).value() ==
                std::vector<std::string>{"model-00001-of-00003.safetensors",
                                         "model-00002-of-00003.safetensors", last}));
    BOOST_TEST(
        base::as_text(index).find("\"total_size\": " + std::to_string(4 * layout.parameters)) !=
        std::string_view::npos);
    folder_view view{shards.at("config.json"), index, {}};
    for (const auto& name : shard_names(index).value()) view.weights[name] = shards.at(name);
    BOOST_TEST(load_model_folder(view).value().parameters == parameters);
    // One tensor alone may be larger than a file should be.
    BOOST_TEST(write_model_files(small, parameters, {.shard_max_bytes = 1}).size() ==
               layout.tensors.size() + 2);
    BOOST_TEST(write_model_files(small, parameters, {.shard_max_bytes = 1 << 20}) ==
               write_model_files(small, parameters));
}

BOOST_AUTO_TEST_CASE(tensors_written_to_their_places_make_the_same_file) {
    const auto plan = plan_weights(small);
    base::byte_vector file(plan.size);
    std::copy(plan.header.begin(), plan.header.end(), file.begin());
    BOOST_TEST_REQUIRE(plan.places.size() == plan.layout.tensors.size());
    for (std::size_t i = plan.places.size(); i-- > 0;) {
        const auto& t = plan.layout.tensors[i];
        const auto bytes = float_bytes(std::span(parameters).subspan(t.offset, t.size));
        std::copy(bytes.begin(), bytes.end(),
                  file.begin() + static_cast<std::ptrdiff_t>(plan.places[i]));
    }
    BOOST_TEST(file == files.at("model.safetensors"));
    auto rest = files;
    rest.erase("model.safetensors");
    BOOST_TEST(write_model_texts(small, card, false) == rest);
}

BOOST_AUTO_TEST_CASE(bf16_halves_the_file_and_reads_back_rounded) {
    const auto files_of = [&] {
        return write_model_files(small, parameters, {.type = weight_type::bf16});
    };
    const auto half = files_of();
    BOOST_TEST(half == files_of());
    const auto loaded =
        load(std::string(base::as_text(half.at("config.json"))), half.at("model.safetensors"));
    BOOST_REQUIRE_MESSAGE(loaded, loaded.error().message());
    BOOST_TEST(base::as_text(half.at("config.json")).find("\"torch_dtype\": \"bfloat16\"") !=
               std::string_view::npos);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
        BOOST_REQUIRE(loaded->parameters[i] ==
                      numerics::from_bf16(numerics::to_bf16(parameters[i])));
    }
}

BOOST_AUTO_TEST_CASE(a_tokenizer_file_is_announced) {
    const auto with = write_model_folder(small, parameters, card, {.tokenizer_file = true});
    const auto text = [](const base::byte_vector& bytes) { return base::as_text(bytes); };
    BOOST_TEST(text(with.at("tokenizer_config.json")).find("PreTrainedTokenizerFast") !=
               std::string_view::npos);
    BOOST_TEST(text(with.at("config.json")).find("\"tequio_tokenizer\": \"tokenizer.json\"") !=
               std::string_view::npos);
    BOOST_TEST(text(with.at("README.md")).find("AutoTokenizer") != std::string_view::npos);
    BOOST_TEST(!files.contains("tokenizer_config.json"));
    BOOST_TEST(text(files.at("README.md")).find("AutoTokenizer") == std::string_view::npos);
}

BOOST_AUTO_TEST_CASE(data_starts_at_a_multiple_of_eight_bytes) {
    base::byte_reader in(files.at("model.safetensors"));
    BOOST_TEST(in.u64() % 8 == 0U);
}

BOOST_AUTO_TEST_CASE(card_keeps_a_strangers_text_on_one_line) {
    card.name = "x\"\n---\n# evil `code`";
    const auto folder = write_model_folder(small, parameters, card);
    const auto text = base::as_text(folder.at("README.md"));
    BOOST_TEST(text.find("# evil") != std::string_view::npos);
    BOOST_TEST(text.find("\n# evil") == std::string_view::npos);
}

BOOST_AUTO_TEST_CASE(every_shortened_file_is_refused) {
    const auto whole = tensors();
    for (std::size_t size = 0; size < whole.size(); size += size < 200 ? 1 : 97) {
        const base::byte_vector part(whole.begin(),
                                     whole.begin() + static_cast<std::ptrdiff_t>(size));
        BOOST_REQUIRE(!load(config(), part).has_value());
    }
    auto longer = whole;
    longer.push_back(0);
    BOOST_TEST(load(config(), longer).error().is(errc::bad_state));
}

BOOST_AUTO_TEST_CASE(bytes_changed_at_random_never_do_worse_than_an_error) {
    constexpr std::uint64_t seed = 5;
    BOOST_TEST_MESSAGE("seed " << seed);
    base::rng rng(seed);
    for (int i = 0; i < 400; ++i) {
        auto file = tensors();
        for (int k = 0; k < 3; ++k) {
            file[rng.below(3000)] = static_cast<std::uint8_t>(rng.below(256));
        }
        const auto loaded = load(config(), file);
        if (!loaded) BOOST_TEST(!loaded.error().message().empty());
        auto text = config();
        text[rng.below(text.size())] = static_cast<char>(rng.below(256));
        (void)load(text, tensors());
    }
}

BOOST_AUTO_TEST_CASE(hostile_headers_are_refused) {
    const std::vector<std::pair<std::string, std::size_t>> cases = {
        {R"([])", 0},
        {R"({"a":1})", 0},
        {R"({"a":[1]})", 0},
        {R"({"a":{}})", 0},
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1}})", 8},
        {R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8},
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
         R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
         8},
        {R"({"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}})", 8},
        {R"({"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,8]}})", 8},
        {R"({"a":{"dtype":"F64","shape":[2],"data_offsets":[0,8]}})", 8},
        {R"({"a":{"dtype":7,"shape":[2],"data_offsets":[0,8]}})", 8},
        {R"({"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}})", 8},
        {R"({"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})", 8},
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}})", 8},
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551616]}})", 8},
        {R"({"__metadata__":{"a":1}})", 0},
        {R"({"__metadata__":{"a":{}}})", 0},
        {R"({"__metadata__":5})", 0},
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} x)", 8},
        {"{\"\xff\":{}}", 0},
        {R"({"a":{"dtype":"F32","shape":[2]}})", 8},
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", 8},
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,16]}})", 8},
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8},
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}})", 8},
        {R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8},
        {R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", 8},
        {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0},
        {R"({"a":{"dtype":"F32","shape":[4611686018427387906],"data_offsets":[0,8]}})", 8},
        {R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})", 4},
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
         R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
         8},
        {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
         R"("b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})",
         12},
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 12},
        {"{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}", 0},
    };
    for (const auto& [header, size] : cases) {
        BOOST_TEST_CONTEXT(header) {
            const auto parsed = parse_safetensors(file_of(header, size));
            BOOST_REQUIRE(!parsed.has_value());
            BOOST_TEST(parsed.error().is(errc::bad_state));
        }
    }
    base::byte_vector huge;
    base::byte_writer(huge).u64(~std::uint64_t{0});
    BOOST_TEST(!parse_safetensors(huge).has_value());
}

BOOST_AUTO_TEST_CASE(other_architectures_are_refused_by_name) {
    for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
             {"\"gpt2\"", "\"mamba\""}, {"gelu_new", "relu"}, {"1e-05", "1e-06"}}) {
        BOOST_TEST(load(with_text(config(), from, to), tensors()).error().is(errc::not_in_version));
    }
}

BOOST_AUTO_TEST_CASE(a_config_of_another_size_is_refused) {
    for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
             {"\"n_layer\": 2", "\"n_layer\": 1"},
             {"\"n_layer\": 2", "\"n_layer\": 1025"},
             {"\"n_head\": 2", "\"n_head\": 3"},
             {"\"n_embd\": 8", "\"n_embd\": 65536"},
             {"\"n_embd\": 8", "\"n_embd\": 0"},
             {"\"n_positions\": 6", "\"n_positions\": -6"},
             {"\"vocab_size\": 256", "\"vocab_size\": 1e3"},
             {"\"vocab_size\": 256", "\"vocab_size\": 1048576"},
             {"\"n_layer\": 2", "\"n_layers\": 2"}}) {
        BOOST_TEST_CONTEXT(to) {
            BOOST_TEST(load(with_text(config(), from, to), tensors()).error().is(errc::bad_state));
        }
    }
}

BOOST_AUTO_TEST_CASE(values_that_are_not_finite_are_refused_and_tiny_ones_flushed) {
    auto file = tensors();
    const auto put = [&](std::uint32_t bits) {
        std::memcpy(file.data() + file.size() - 4, &bits, 4);
    };
    put(0x7f800000);
    BOOST_TEST(load(config(), file).error().is(errc::bad_state));
    put(0x7fc00000);
    BOOST_TEST(load(config(), file).error().is(errc::bad_state));
    put(0x80000001);
    const auto loaded = load(config(), file).value();
    const auto& last = loaded.layout.tensors.back();
    BOOST_TEST(std::bit_cast<std::uint32_t>(loaded.parameters[last.offset + last.size - 1]) == 0U);
}

/// A classifier, and its folder.
struct mlp_fixture {
    model_config model = [] {
        model_config m;
        m.family = "mlp";
        m.layers = 2;
        m.width = 9;
        m.context = 1;
        m.inputs = 3;
        m.vocabulary = 4;
        return m;
    }();
    std::vector<float> parameters = some_parameters(layout_of(model));
    folder_files files = [this] {
        run_card card;
        card.shifts = {1, 2, 3};
        card.factors = {0.5F, 0.25F, 2};
        return write_model_folder(model, parameters, card);
    }();
    std::string config = std::string(base::as_text(files.at("config.json")));
    base::result<loaded_model> load(const std::string& text) const {
        return load_model_folder({base::as_bytes(text),
                                  std::nullopt,
                                  {{weights_file_name, files.at(weights_file_name)}}});
    }
};

BOOST_AUTO_TEST_CASE(folder_of_a_classifier_reads_back_and_says_how_inputs_are_scaled) {
    const mlp_fixture mlp;
    BOOST_TEST(mlp.files.size() == 4U);
    const auto loaded = mlp.load(mlp.config);
    BOOST_REQUIRE_MESSAGE(loaded, loaded.error().message());
    BOOST_TEST((loaded->model == mlp.model));
    BOOST_TEST(loaded->parameters == mlp.parameters);
    const auto scales = parse_safetensors(mlp.files.at("inputs.safetensors"));
    BOOST_REQUIRE_MESSAGE(scales, scales.error().message());
    const float shifts[] = {1, 2, 3}, factors[] = {0.5F, 0.25F, 2};
    for (const auto& [name, values] : {std::pair{"shift", shifts}, std::pair{"factor", factors}}) {
        const auto& entry = scales->at(name);
        BOOST_TEST(entry.shape == (std::vector<std::uint64_t>{3}));
        BOOST_TEST(std::memcmp(entry.bytes.data(), values, sizeof shifts) == 0);
    }
    const auto readme = base::as_text(mlp.files.at("README.md"));
    BOOST_TEST(readme.find("training loss of the last round, nats an example") != readme.npos);
    BOOST_TEST(readme.find("examples trained on") != readme.npos);
    BOOST_TEST(readme.find("for i in range(2)") != readme.npos);
    BOOST_TEST(readme.find("transformers") == readme.npos);
}

BOOST_AUTO_TEST_CASE(config_of_a_classifier_is_checked) {
    const mlp_fixture mlp;
    for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
             {"\"num_inputs\": 3", "\"num_inputs\": 4"},
             {"\"num_inputs\": 3", "\"num_inputs\": 0"},
             {"\"num_inputs\": 3", "\"num_inputs\": \"3\""},
             {"\"num_inputs\"", "\"inputs\""},
             {"\"num_labels\": 4", "\"num_labels\": 1"},
             {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1025"},
             {"\"hidden_size\": 9", "\"hidden_size\": -9"}}) {
        BOOST_TEST(mlp.load(with_text(mlp.config, from, to)).error().is(errc::bad_state), to);
    }
    BOOST_TEST(mlp.load(with_text(mlp.config, "relu", "gelu")).error().is(errc::not_in_version));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
