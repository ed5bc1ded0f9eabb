// config.json, read and written.
#include "training/model/folder_config.hpp"

#include <boost/test/unit_test.hpp>

#include "training/errc.hpp"

namespace tequio::training {
namespace {

const std::string llama_text = R"({
  "architectures": ["LlamaForCausalLM"], "attention_bias": false, "bos_token_id": 1,
  "eos_token_id": [2, 3], "hidden_act": "silu", "hidden_size": 64, "initializer_range": 0.02,
  "intermediate_size": 172, "max_position_embeddings": 131072, "mlp_bias": false,
  "model_type": "llama", "num_attention_heads": 8, "num_hidden_layers": 3,
  "num_key_value_heads": 2, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": null,
  "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
  "transformers_version": "4.40.0", "use_cache": true, "vocab_size": 128256
})";

model_config llama_model() {
    model_config m{"llama", 3, 8, 64, 65536, 128256};
    m.kv_heads = 2;
    m.hidden = 172;
    m.rope_theta = 500000;
    m.norm_epsilon = 1e-5;
    m.tied = true;
    return m;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    const auto at = text.find(from);
    BOOST_REQUIRE_MESSAGE(at != std::string::npos, from + " is there to be replaced");
    return text.replace(at, from.size(), to);
}

base::result<model_config> parsed(const std::string& text) {
    return parse_config(base::as_bytes(text));
}

void refused(const std::string& text, errc code, const std::string& words) {
    const auto model = parsed(text);
    BOOST_REQUIRE_MESSAGE(!model, words);
    BOOST_TEST(model.error().is(code), model.error().message());
    BOOST_TEST(model.error().message().find("config.json: ") == 0U);
    BOOST_TEST(model.error().message().find(words) != std::string::npos,
               words << " in " << model.error().message());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(folder_config)

BOOST_AUTO_TEST_CASE(a_llama_of_the_hub_is_read) {
    const auto model = parsed(llama_text);
    BOOST_REQUIRE_MESSAGE(model, model.error().message());
    BOOST_TEST((*model == llama_model()));
}

BOOST_AUTO_TEST_CASE(what_is_missing_has_the_defaults_of_the_class) {
    auto text = llama_text;
    for (const auto* key : {"\"num_key_value_heads\": 2, ", "\"rms_norm_eps\": 1e-05, ",
                            "\"rope_theta\": 500000.0, ", "\"tie_word_embeddings\": true, "}) {
        text = replaced(text, key, "");
    }
    const auto model = parsed(text).value();
    BOOST_TEST(model.kv_heads == 8U);
    BOOST_TEST(model.norm_epsilon == 1e-6);
    BOOST_TEST(model.rope_theta == 10000.0);
    BOOST_TEST(!model.tied);
}

BOOST_AUTO_TEST_CASE(written_configs_read_back) {
    model_config mlp{"mlp", 3, 0, 64, 1, 10};
    mlp.inputs = 784;
    for (const auto& m : {llama_model(), model_config{"gpt2", 2, 4, 16, 32, 300}, mlp}) {
        for (const auto type : {weight_type::f32, weight_type::bf16}) {
            const auto text = config_text(m, {.type = type});
            const auto back = parsed(text);
            BOOST_REQUIRE_MESSAGE(back, back.error().message());
            BOOST_TEST((*back == m));
            BOOST_TEST(text == config_text(m, {.type = type}));
        }
    }
    BOOST_TEST(config_text(mlp, {}) ==
               "{\n  \"activation_function\": \"relu\",\n  \"hidden_size\": 64,\n"
               "  \"model_type\": \"tequio_mlp\",\n  \"num_hidden_layers\": 3,\n"
               "  \"num_inputs\": 784,\n  \"num_labels\": 10,\n"
               "  \"torch_dtype\": \"float32\"\n}\n");
    BOOST_TEST(config_text(llama_model(), {}).find("\"rope_theta\": 5e+05,") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(rope_of_later_versions_is_read) {
    const auto with = [](const std::string& what) {
        return replaced(replaced(llama_text, "\"rope_theta\": 500000.0", what),
                        "\"rope_scaling\": null,", "");
    };
    const auto model =
        parsed(with(R"("rope_parameters": {"rope_theta": 25000, "rope_type": "default"})"));
    BOOST_REQUIRE_MESSAGE(model, model.error().message());
    BOOST_TEST(model->rope_theta == 25000.0);
    for (const auto* what :
         {R"("rope_parameters": {"rope_theta": 25000, "rope_type": "llama3", "factor": 8.0})",
          R"("rope_parameters": {"full_attention": {"rope_theta": 1.0}})",
          R"("rope_parameters": {"rope_theta": 5, "partial_rotary_factor": 0.5})"}) {
        refused(with(what), errc::not_in_version, "rope_parameters");
    }
}

BOOST_AUTO_TEST_CASE(what_this_version_does_not_compute_is_refused_by_name) {
    const std::vector<std::tuple<std::string, std::string, std::string>> rows{
        {"\"rope_scaling\": null", R"("rope_scaling": {"type": "linear", "factor": 2.0})",
         "rope_scaling.type: found \"linear\""},
        {"\"rope_scaling\": null", R"("rope_scaling": {"rope_type": "llama3"})",
         "rope_scaling.rope_type"},
        {"\"rope_scaling\": null", R"("rope_scaling": {"factor": 8.0})", "rope_scaling"},
        {"\"attention_bias\": false", "\"attention_bias\": true", "attention_bias: found true"},
        {"\"mlp_bias\": false", "\"mlp_bias\": true", "mlp_bias"},
        {"\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"", "hidden_act: found \"gelu\""},
        {"\"pretraining_tp\": 1", "\"sliding_window\": 4096", "sliding_window"},
        {"\"pretraining_tp\": 1", "\"use_sliding_window\": true", "use_sliding_window"},
        {"\"pretraining_tp\": 1", "\"head_dim\": 16", "head_dim: found 16, allowed: 8"},
        {"\"pretraining_tp\": 1", "\"partial_rotary_factor\": 0.5", "partial_rotary_factor"},
        {"\"pretraining_tp\": 1", R"("quantization_config": {"bits": 4})", "quantization_config"},
        {"\"model_type\": \"llama\"", "\"model_type\": \"mistral\"", "model_type"},
        {"\"model_type\": \"llama\"", "\"model_type\": [\"llama\"]", "model_type"},
    };
    for (const auto& [from, to, words] : rows) {
        refused(replaced(llama_text, from, to), errc::not_in_version, words);
    }
    const auto gpt2 = config_text({"gpt2", 2, 4, 16, 32, 300}, {});
    for (const auto& [from, to, words] :
         std::vector<std::tuple<std::string, std::string, std::string>>{
             {"\"n_inner\": null", "\"n_inner\": 32", "n_inner"},
             {"\"n_inner\": null", "\"scale_attn_weights\": false", "scale_attn_weights"},
             {"\"n_inner\": null", "\"scale_attn_by_inverse_layer_idx\": true", "scale_attn_by"},
             {"\"n_inner\": null", "\"add_cross_attention\": true", "add_cross_attention"},
             {"\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false", "tie_word"},
             {"1e-05", "1e-06", "layer_norm_epsilon"}}) {
        refused(replaced(gpt2, from, to), errc::not_in_version, words);
    }
    BOOST_TEST(parsed(replaced(gpt2, "\"n_inner\": null", "\"n_inner\": 64")).has_value());
}

BOOST_AUTO_TEST_CASE(values_out_of_bounds_are_refused_with_the_bounds) {
    for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
             {"\"vocab_size\": 128256", "\"vocab_size\": 1"},
             {"\"vocab_size\": 128256", "\"vocab_size\": 99999999999999999999999"},
             {"\"vocab_size\": 128256", "\"vocab_size\": 3.5"},
             {"\"vocab_size\": 128256", "\"vocab_size\": \"300\""},
             {"\"vocab_size\": 128256", "\"vocab_size\": [300]"},
             {"\"vocab_size\": 128256", "\"vocabulary\": 300"},
             {"\"num_key_value_heads\": 2", "\"num_key_value_heads\": 0"},
             {"\"hidden_size\": 64", "\"hidden_size\": 65537"},
             {"\"intermediate_size\": 172", "\"intermediate_size\": -1"},
             {"\"rms_norm_eps\": 1e-05", "\"rms_norm_eps\": 0"},
             {"\"rms_norm_eps\": 1e-05", "\"rms_norm_eps\": 1e999"},
             {"\"rope_theta\": 500000.0", "\"rope_theta\": -1"},
             {"\"tie_word_embeddings\": true", "\"tie_word_embeddings\": 1"}}) {
        const auto key = from.substr(1, from.find(':') - 2);
        refused(replaced(llama_text, from, to), errc::bad_state, key + ": found");
    }
    for (const std::string text : {"", "{", "[]", "\"llama\"", "{\"model_type\": \"llama\"} {}"}) {
        BOOST_TEST(!parsed(text), text);
    }
    BOOST_TEST(!parsed("{\"a\": " + std::string(5000, '[') + std::string(5000, ']') + "}"));
    BOOST_TEST(!parsed(std::string(300 * 1024, ' ') + llama_text));
    refused(replaced(llama_text, "\"use_cache\"", "\"vocab_size\""), errc::bad_state, "twice");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
