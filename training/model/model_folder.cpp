#include "training/model_folder.hpp"

#include <boost/json.hpp>
#include <cstring>

#include "base/ensure.hpp"
#include "base/text.hpp"
#include "training/errc.hpp"
#include "training/model/safetensors.hpp"
#include "training/numerics/float_bits.hpp"

namespace tequio::training {
namespace json = boost::json;

namespace {

constexpr std::size_t config_max_bytes = 64 * 1024;

base::byte_vector bytes_of(const std::string& text) {
    const auto view = base::as_bytes(text);
    return {view.begin(), view.end()};
}

std::string config_text(const model_config& m) {
    const auto number = [](std::uint64_t v) { return std::to_string(v); };
    // Keys in order of name, as Hugging Face writes them. The ids of special tokens default to
    // 50256, which this vocabulary does not have.
    return "{\n  \"activation_function\": \"gelu_new\",\n"
           "  \"architectures\": [\n    \"GPT2LMHeadModel\"\n  ],\n"
           "  \"attn_pdrop\": 0.0,\n  \"bos_token_id\": null,\n  \"embd_pdrop\": 0.0,\n"
           "  \"eos_token_id\": null,\n  \"initializer_range\": 0.02,\n"
           "  \"layer_norm_epsilon\": 1e-05,\n  \"model_type\": \"gpt2\",\n"
           "  \"n_ctx\": " +
           number(m.context) + ",\n  \"n_embd\": " + number(m.width) +
           ",\n  \"n_head\": " + number(m.heads) +
           ",\n  \"n_inner\": null,\n  \"n_layer\": " + number(m.layers) +
           ",\n  \"n_positions\": " + number(m.context) +
           ",\n  \"resid_pdrop\": 0.0,\n  \"tequio_tokenizer\": \"bytes\",\n"
           "  \"tie_word_embeddings\": true,\n  \"torch_dtype\": \"float32\",\n"
           "  \"use_cache\": true,\n  \"vocab_size\": " +
           number(m.vocabulary) + "\n}\n";
}

/// A text that a stranger wrote, made harmless inside one line of Markdown or YAML.
std::string one_line(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        out += byte < 0x20 || byte == 0x7f || c == '"' || c == '\\' || c == '`' ? ' ' : c;
    }
    return out;
}

std::string crew_text(const run_card& card) {
    std::string text = "| node | lanes |\n|---|---|\n";
    for (const auto& [node, lanes] : card.crew) {
        text.append("| `").append(node.hex()).append("` | ");
        text.append(std::to_string(lanes)).append(" |\n");
    }
    return text;
}

std::string figures_text(const run_card& card) {
    std::string text = "| | |\n|---|---|\n";
    const auto line = [&](const char* name, const std::string& value) {
        text.append("| ").append(name).append(" | ").append(value).append(" |\n");
    };
    const auto id = [](const std::string& hex) { return '`' + hex + '`'; };
    line("task", id(card.task.hex()));
    line("recipe", id(card.recipe.hex()));
    line("state digest", id(card.state.hex()));
    line("rounds", std::to_string(card.rounds_done) + " of " + std::to_string(card.rounds));
    line("tokens trained on", std::to_string(card.tokens));
    line("training loss of the last round, nats a token", base::shortest(card.loss));
    if (card.validation_loss) {
        line("validation loss, nats a token", base::shortest(*card.validation_loss));
    }
    line("share of lanes checked by another node", base::shortest(card.checked_share));
    line("data licence, as declared", one_line(card.data_license));
    line("model licence, as declared", one_line(card.model_license));
    return text;
}

std::string card_text(const run_card& card) {
    return "---\nlicense: \"" + one_line(card.model_license) +
           "\"\nlibrary_name: transformers\npipeline_tag: text-generation\n---\n\n# " +
           one_line(card.name) + "\n\n" + one_line(card.purpose) +
           "\n\nTrained by a crew of volunteers with Tequio. The weights are a pure function of "
           "the "
           "recipe below:\n`tequio job replay` recomputes them and must arrive at the state "
           "digest.\n\n" +
           figures_text(card) +
           "\n## Use\n\nThe tokenizer is \"bytes\": token i is the byte i of the text's UTF-8 "
           "form, "
           "so no tokenizer file is needed.\n\n"
           "```python\nimport torch\nfrom transformers import GPT2LMHeadModel\n\n"
           "model = GPT2LMHeadModel.from_pretrained(\".\")\n"
           "prompt = torch.tensor([list(\"The \".encode())])\n"
           "text = model.generate(prompt, max_new_tokens=100, do_sample=True)[0]\n"
           "print(bytes(text.tolist()).decode(errors=\"replace\"))\n```\n\n"
           "`tequio job sample . --prompt \"The \"` does the same without Python.\n\n## Crew\n\n" +
           crew_text(card) + "\n## Recipe\n\n```\n" + card.recipe_text + "```\n";
}

base::error bad_config(const std::string& what) {
    return fail(errc::bad_state, "config.json: " + what);
}

base::result<std::uint64_t> number_of(const json::object& object, const char* key,
                                      std::uint64_t limit) {
    const auto* value = object.if_contains(key);
    const auto found = value != nullptr && value->is_int64() ? value->get_int64() : 0;
    if (found <= 0 || static_cast<std::uint64_t>(found) > limit) {
        return bad_config(std::string(key) + " must be an integer from 1 to " +
                          std::to_string(limit));
    }
    return static_cast<std::uint64_t>(found);
}

/// Errors unless `key` is the string `expected`.
base::result<void> expect(const json::object& object, const char* key, const char* expected) {
    const auto* value = object.if_contains(key);
    if (value != nullptr && value->is_string() && value->get_string() == expected) return {};
    return fail(errc::not_in_version, std::string("config.json: ") + key +
                                          " is another than this version has (has: " + expected +
                                          ")");
}

base::result<model_config> parse_config(base::byte_view bytes) {
    if (bytes.size() > config_max_bytes) return bad_config("too long");
    json::parse_options options;
    options.max_depth = 8;
    boost::system::error_code problem;
    const auto value = json::parse(base::as_text(bytes), problem, {}, options);
    if (problem || !value.is_object()) return bad_config("not a JSON object");
    const auto& object = value.get_object();
    TEQUIO_CHECK(expect(object, "model_type", "gpt2"));
    TEQUIO_CHECK(expect(object, "activation_function", "gelu_new"));
    const auto* epsilon = object.if_contains("layer_norm_epsilon");
    if (epsilon == nullptr || !epsilon->is_double() || epsilon->get_double() != 1e-5) {
        return fail(
            errc::not_in_version,
            "config.json: layer_norm_epsilon is another than this version has (has: 1e-05)");
    }
    model_config m;
    m.family = "gpt2";
    TEQUIO_TRY(m.layers, number_of(object, "n_layer", recipe_limits::layers));
    TEQUIO_TRY(m.heads, number_of(object, "n_head", recipe_limits::heads));
    TEQUIO_TRY(m.width, number_of(object, "n_embd", recipe_limits::width));
    TEQUIO_TRY(m.context, number_of(object, "n_positions", recipe_limits::context));
    TEQUIO_TRY(m.vocabulary, number_of(object, "vocab_size", recipe_limits::vocabulary));
    if (m.width % m.heads != 0 || m.width / m.heads > recipe_limits::head_size) {
        return bad_config("n_embd must be n_head times at most " +
                          std::to_string(recipe_limits::head_size));
    }
    if (!parameter_count(m)) return bad_config("the model is too large");
    return m;
}

/// Copies one tensor's bytes to its place.
base::result<void> take_tensor(const tensor_spec& t,
                               const std::map<std::string, safetensors_entry>& entries,
                               std::span<float> out) {
    const auto it = entries.find(t.name);
    if (it == entries.end() || it->second.shape != t.shape) {
        return fail(errc::bad_state, "model.safetensors: " + t.name +
                                         " is missing or has another shape than config.json says");
    }
    std::memcpy(out.data(), it->second.bytes.data(), out.size_bytes());
    for (float& value : out) {
        if (!numerics::finite(value)) {
            return fail(errc::bad_state, "model.safetensors: " + t.name +
                                             " has a value that is "
                                             "not finite");
        }
        value = numerics::flush(value);
    }
    return {};
}

}  // namespace

folder_files write_model_folder(const model_config& model, std::span<const float> parameters,
                                const run_card& card) {
    return {{"config.json", bytes_of(config_text(model))},
            {"model.safetensors", write_safetensors(layout_of(model), parameters)},
            {"README.md", bytes_of(card_text(card))}};
}

base::result<loaded_model> load_model_folder(base::byte_view config_json,
                                             base::byte_view safetensors) {
    loaded_model out;
    TEQUIO_TRY(out.model, parse_config(config_json));
    TEQUIO_TRY(const auto entries, parse_safetensors(safetensors));
    out.layout = layout_of(out.model);
    // The file holds every value once, so its own length bounds what is allocated.
    if (entries.size() != out.layout.tensors.size() ||
        out.layout.parameters > safetensors.size() / sizeof(float)) {
        return fail(errc::bad_state, "model.safetensors: " + std::to_string(entries.size()) +
                                         " tensors of another size than config.json says (" +
                                         std::to_string(out.layout.tensors.size()) + " tensors, " +
                                         std::to_string(out.layout.parameters) + " parameters)");
    }
    out.parameters.assign(out.layout.padded_size, 0.0F);
    for (const auto& t : out.layout.tensors) {
        TEQUIO_CHECK(take_tensor(t, entries, std::span(out.parameters).subspan(t.offset, t.size)));
    }
    return out;
}

}  // namespace tequio::training
