#include "training/model/folder_config.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "base/ensure.hpp"
#include "base/text.hpp"
#include "training/data/json_walk.hpp"
#include "training/errc.hpp"
#include "training/round/lines.hpp"
#include "training/round/recipe_fields.hpp"

namespace tequio::training {
namespace {

constexpr std::size_t config_max_bytes = 256 * 1024;

/// Everything that is looked at in a config.json; other keys say nothing about the function.
constexpr auto known_keys =
    std::to_array<std::string_view>({"activation_function",
                                     "add_cross_attention",
                                     "attention_bias",
                                     "head_dim",
                                     "hidden_act",
                                     "hidden_size",
                                     "intermediate_size",
                                     "layer_norm_epsilon",
                                     "max_position_embeddings",
                                     "mlp_bias",
                                     "model_type",
                                     "n_embd",
                                     "n_head",
                                     "n_inner",
                                     "n_layer",
                                     "n_positions",
                                     "num_attention_heads",
                                     "num_hidden_layers",
                                     "num_inputs",
                                     "num_key_value_heads",
                                     "num_labels",
                                     "partial_rotary_factor",
                                     "quantization_config",
                                     "rms_norm_eps",
                                     "rope_parameters",
                                     "rope_parameters.partial_rotary_factor",
                                     "rope_parameters.rope_theta",
                                     "rope_parameters.rope_type",
                                     "rope_scaling",
                                     "rope_scaling.rope_type",
                                     "rope_scaling.type",
                                     "rope_theta",
                                     "scale_attn_by_inverse_layer_idx",
                                     "scale_attn_weights",
                                     "sliding_window",
                                     "tie_word_embeddings",
                                     "use_sliding_window",
                                     "vocab_size"});

/// One value of a config.json.
struct config_value {
    json_kind kind = json_kind::null;
    std::string text;
    /// For messages; safe to print.
    std::string shown() const {
        switch (kind) {
            case json_kind::null:
                return "null";
            case json_kind::array:
                return "a list";
            case json_kind::object:
                return "an object";
            case json_kind::text:
                return quoted(text);
            default:
                return text.substr(0, 40);
        }
    }
};

/// The values that matter, by key; below the top level `outer.inner`.
class config_reader final : public json_visitor {
public:
    base::result<void> value(std::span<const std::string> path, json_kind kind,
                             std::string_view text) override {
        if (path.empty() && kind != json_kind::object) {
            return fail(errc::bad_state, "not a JSON object");
        }
        if (path.empty() || path.size() > 2) return {};
        const auto key = path.size() == 1 ? path[0] : path[0] + "." + path[1];
        if (std::find(known_keys.begin(), known_keys.end(), key) == known_keys.end()) return {};
        // A list's elements come under its own key, after it.
        values_.try_emplace(key, config_value{kind, std::string(text)});
        return {};
    }

    /// nullptr when the key is missing or null.
    const config_value* find(std::string_view key) const {
        const auto it = values_.find(key);
        return it == values_.end() || it->second.kind == json_kind::null ? nullptr : &it->second;
    }
    base::result<void> integer(std::string_view key, std::uint64_t& value, std::uint64_t low,
                               std::uint64_t high) const {
        const auto* found = find(key);
        const auto n = found != nullptr && found->kind == json_kind::number
                           ? base::parse_u64(found->text)
                           : std::nullopt;
        if (!n || *n < low || *n > high) {
            return refuse(key, found,
                          integer_range_text(static_cast<std::int64_t>(low),
                                             static_cast<std::int64_t>(high)));
        }
        value = *n;
        return {};
    }
    /// A missing one keeps what `value` is.
    base::result<void> real(std::string_view key, double& value, const real_bounds& bounds) const {
        const auto* found = find(key);
        if (found == nullptr) return {};
        const auto x =
            found->kind == json_kind::number ? base::parse_real(found->text) : std::nullopt;
        if (!x || !bounds.hold(*x)) return refuse(key, found, bounds.text());
        value = *x;
        return {};
    }
    base::result<void> flag(std::string_view key, bool& value) const {
        const auto* found = find(key);
        if (found == nullptr) return {};
        if (found->kind != json_kind::boolean) return refuse(key, found, "true or false");
        value = found->text == "true";
        return {};
    }
    /// Errors: `errc::not_in_version` unless the key is missing, null, or written as one of `has`.
    base::result<void> only(std::string_view key,
                            std::initializer_list<std::string_view> has) const {
        const auto* found = find(key);
        const auto is_text = [&] {
            return found->kind != json_kind::array && found->kind != json_kind::object;
        };
        if (found == nullptr ||
            (is_text() && std::find(has.begin(), has.end(), found->text) != has.end())) {
            return {};
        }
        std::string allowed;
        for (const auto word : has) (allowed += allowed.empty() ? "" : ", ") += word;
        if (allowed.empty()) allowed = "null";
        return fail(errc::not_in_version, std::string(key) + ": found " + found->shown() +
                                              ", allowed: " + allowed +
                                              " (anything else is not in this version)");
    }
    /// As `only`, for a number.
    base::result<void> only_number(std::string_view key, double has) const {
        const auto* found = find(key);
        if (found == nullptr || (found->kind == json_kind::number &&
                                 base::parse_real(found->text) == std::optional(has))) {
            return {};
        }
        return fail(errc::not_in_version, std::string(key) + ": found " + found->shown() +
                                              ", allowed: " + base::shortest(has) +
                                              " (anything else is not in this version)");
    }

private:
    static base::error refuse(std::string_view key, const config_value* found,
                              const std::string& allowed) {
        return fail(errc::bad_state, std::string(key) + ": found " +
                                         (found == nullptr ? "nothing" : found->shown()) +
                                         ", allowed: " + allowed);
    }
    std::map<std::string, config_value, std::less<>> values_;
};

using limit = recipe_limits;

base::result<void> read_gpt2(const config_reader& in, model_config& m) {
    TEQUIO_CHECK(in.integer("vocab_size", m.vocabulary, 2, limit::vocabulary));
    TEQUIO_CHECK(in.integer("n_layer", m.layers, 1, limit::layers));
    TEQUIO_CHECK(in.integer("n_head", m.heads, 1, limit::heads));
    TEQUIO_CHECK(in.integer("n_embd", m.width, 1, limit::width));
    TEQUIO_CHECK(in.integer("n_positions", m.context, 1, limit::context));
    // "gelu_pytorch_tanh" is the same function.
    TEQUIO_CHECK(in.only("activation_function", {"gelu_new", "gelu_pytorch_tanh"}));
    TEQUIO_CHECK(in.only_number("layer_norm_epsilon", 1e-5));
    TEQUIO_CHECK(in.only_number("n_inner", static_cast<double>(4 * m.width)));
    TEQUIO_CHECK(in.only("scale_attn_weights", {"true"}));
    TEQUIO_CHECK(in.only("scale_attn_by_inverse_layer_idx", {"false"}));
    TEQUIO_CHECK(in.only("add_cross_attention", {"false"}));
    return in.only("tie_word_embeddings", {"true"});
}

base::result<void> read_rope(const config_reader& in, model_config& m) {
    TEQUIO_CHECK(in.real("rope_theta", m.rope_theta, theta_bounds));
    TEQUIO_CHECK(in.only_number("partial_rotary_factor", 1));
    // Since version 5 of transformers all of it stands in one object.
    TEQUIO_CHECK(in.real("rope_parameters.rope_theta", m.rope_theta, theta_bounds));
    TEQUIO_CHECK(in.only("rope_parameters.rope_type", {"default"}));
    TEQUIO_CHECK(in.only_number("rope_parameters.partial_rotary_factor", 1));
    // Without it they are one object for each kind of layer.
    if (in.find("rope_parameters.rope_theta") == nullptr) {
        TEQUIO_CHECK(in.only("rope_parameters", {}));
    }
    const bool says_default =
        in.find("rope_scaling.rope_type") != nullptr || in.find("rope_scaling.type") != nullptr;
    if (!says_default) return in.only("rope_scaling", {});
    TEQUIO_CHECK(in.only("rope_scaling.type", {"default"}));
    return in.only("rope_scaling.rope_type", {"default"});
}

base::result<void> read_llama(const config_reader& in, model_config& m) {
    TEQUIO_CHECK(in.integer("vocab_size", m.vocabulary, 2, limit::vocabulary));
    TEQUIO_CHECK(in.integer("num_hidden_layers", m.layers, 1, limit::layers));
    TEQUIO_CHECK(in.integer("num_attention_heads", m.heads, 1, limit::heads));
    m.kv_heads = m.heads;
    if (in.find("num_key_value_heads") != nullptr) {
        TEQUIO_CHECK(in.integer("num_key_value_heads", m.kv_heads, 1, limit::heads));
    }
    TEQUIO_CHECK(in.integer("hidden_size", m.width, 1, limit::width));
    TEQUIO_CHECK(in.integer("intermediate_size", m.hidden, 1, limit::hidden));
    // No tensor depends on the context, so a longer one than this program trains is no obstacle.
    TEQUIO_CHECK(in.integer("max_position_embeddings", m.context, 1, std::uint64_t{1} << 32));
    m.context = std::min(m.context, limit::context);
    m.norm_epsilon = 1e-6;
    TEQUIO_CHECK(in.real("rms_norm_eps", m.norm_epsilon, epsilon_bounds));
    m.tied = false;
    TEQUIO_CHECK(in.flag("tie_word_embeddings", m.tied));
    TEQUIO_CHECK(read_rope(in, m));
    TEQUIO_CHECK(in.only("hidden_act", {"silu", "swish"}));
    TEQUIO_CHECK(in.only("attention_bias", {"false"}));
    TEQUIO_CHECK(in.only("mlp_bias", {"false"}));
    TEQUIO_CHECK(in.only("use_sliding_window", {"false"}));
    const bool unused_window = in.find("use_sliding_window") != nullptr;
    if (!unused_window) TEQUIO_CHECK(in.only("sliding_window", {}));
    if (m.width % m.heads != 0) return {};  // said in words of its own
    return in.only_number("head_dim", static_cast<double>(m.width / m.heads));
}

base::result<void> read_mlp(const config_reader& in, model_config& m) {
    TEQUIO_CHECK(in.integer("num_inputs", m.inputs, 1, limit::inputs));
    TEQUIO_CHECK(in.integer("num_hidden_layers", m.layers, 1, limit::layers));
    TEQUIO_CHECK(in.integer("hidden_size", m.width, 1, limit::width));
    TEQUIO_CHECK(in.integer("num_labels", m.vocabulary, 2, limit::vocabulary));
    m.context = 1;
    return in.only("activation_function", {"relu"});
}

std::string text(std::string_view word) {
    return '"' + std::string(word) + '"';
}

using config_keys = std::map<std::string, std::string>;  ///< key -> JSON text

/// What every language model has.
void write_language_model(const model_config& m, const folder_options& options, config_keys& out) {
    // Null: the ids that transformers takes else are of other vocabularies.
    out["bos_token_id"] = out["eos_token_id"] = "null";
    out["initializer_range"] = "0.02";
    out["tequio_tokenizer"] = text(options.tokenizer_file ? tokenizer_file_name : "bytes");
    out["use_cache"] = "true";
    out["vocab_size"] = std::to_string(m.vocabulary);
}

void write_gpt2(const model_config& m, const folder_options& options, config_keys& out) {
    write_language_model(m, options, out);
    out["activation_function"] = text("gelu_new");
    for (const auto* key : {"attn_pdrop", "embd_pdrop", "resid_pdrop"}) out[key] = "0.0";
    out["layer_norm_epsilon"] = "1e-05";
    out["n_ctx"] = out["n_positions"] = std::to_string(m.context);
    out["n_embd"] = std::to_string(m.width);
    out["n_head"] = std::to_string(m.heads);
    out["n_inner"] = "null";
    out["n_layer"] = std::to_string(m.layers);
    out["tie_word_embeddings"] = "true";
}

void write_llama(const model_config& m, const folder_options& options, config_keys& out) {
    write_language_model(m, options, out);
    out["attention_bias"] = out["mlp_bias"] = "false";
    out["attention_dropout"] = "0.0";
    out["head_dim"] = std::to_string(m.width / m.heads);
    out["hidden_act"] = text("silu");
    out["hidden_size"] = std::to_string(m.width);
    out["intermediate_size"] = std::to_string(m.hidden);
    out["max_position_embeddings"] = std::to_string(m.context);
    out["num_attention_heads"] = std::to_string(m.heads);
    out["num_hidden_layers"] = std::to_string(m.layers);
    out["num_key_value_heads"] = std::to_string(m.kv_heads);
    out["pretraining_tp"] = "1";
    // Python's type checks want reals that look like some.
    out["rms_norm_eps"] = base::shortest_real(m.norm_epsilon);
    out["rope_scaling"] = "null";
    out["rope_theta"] = base::shortest_real(m.rope_theta);
    out["tie_word_embeddings"] = m.tied ? "true" : "false";
}

void write_mlp(const model_config& m, const folder_options&, config_keys& out) {
    out["activation_function"] = text("relu");
    out["hidden_size"] = std::to_string(m.width);
    out["num_hidden_layers"] = std::to_string(m.layers);
    out["num_inputs"] = std::to_string(m.inputs);
    out["num_labels"] = std::to_string(m.vocabulary);
}

/// One family's folders, and how its config.json is read and written.
struct config_form {
    folder_family facts;
    base::result<void> (*read)(const config_reader& in, model_config& m);
    void (*write)(const model_config& m, const folder_options& options, config_keys& out);
};

constexpr std::array<std::string_view, 2> gpt2_buffers{".attn.bias", ".attn.masked_bias"};
constexpr std::array<std::string_view, 1> llama_buffers{".rotary_emb.inv_freq"};
// No other program has an mlp like ours, hence our name in its type.
constexpr std::array<config_form, 3> forms{
    {{{"gpt2", "gpt2", "GPT2LMHeadModel", "transformer.", "transformer.wte.weight",
       "lm_head.weight", 12, gpt2_buffers},
      read_gpt2,
      write_gpt2},
     {{"llama", "llama", "LlamaForCausalLM", "model.", "model.embed_tokens.weight",
       "lm_head.weight", 9, llama_buffers},
      read_llama,
      write_llama},
     {{"mlp", "tequio_mlp", "", "", "", "", 2, {}}, read_mlp, write_mlp}}};

const config_form& form_of(std::string_view family) {
    const auto it = std::find_if(forms.begin(), forms.end(),
                                 [&](const auto& f) { return f.facts.family == family; });
    base::ensure(it != forms.end(), "the family has folders");
    return *it;
}

std::string types_text() {
    std::string out;
    for (const auto& f : forms) (out += out.empty() ? "" : ", ") += f.facts.model_type;
    return out;
}

base::result<model_config> parse_values(base::byte_view bytes) {
    if (bytes.size() > config_max_bytes) {
        return fail(errc::bad_state, "found " + std::to_string(bytes.size()) +
                                         " bytes, allowed: at most " +
                                         std::to_string(config_max_bytes));
    }
    config_reader in;
    TEQUIO_CHECK(walk_json(base::as_text(bytes), {.depth = 16, .members = 8192}, in));
    const auto* type = in.find("model_type");
    const auto form = std::find_if(forms.begin(), forms.end(), [&](const auto& f) {
        return type != nullptr && type->kind == json_kind::text && type->text == f.facts.model_type;
    });
    if (form == forms.end()) {
        return fail(errc::not_in_version,
                    "model_type: found " + (type == nullptr ? "nothing" : type->shown()) +
                        ", allowed: " + types_text() + " (anything else is not in this version)");
    }
    TEQUIO_CHECK(in.only("quantization_config", {}));
    model_config m;
    m.family = form->facts.family;
    TEQUIO_CHECK(form->read(in, m));
    return m;
}

}  // namespace

const folder_family& folder_family_of(std::string_view family) {
    return form_of(family).facts;
}

std::string config_text(const model_config& model, const folder_options& options) {
    const auto& form = form_of(model.family);
    config_keys keys;
    if (!form.facts.architecture.empty()) {
        keys["architectures"] = "[\n    " + text(form.facts.architecture) + "\n  ]";
    }
    keys["model_type"] = text(form.facts.model_type);
    keys["torch_dtype"] = text(options.type == weight_type::f32 ? "float32" : "bfloat16");
    form.write(model, options, keys);
    std::string out;
    for (const auto& [key, value] : keys) {
        (out += out.empty() ? "{\n  " : ",\n  ") += text(key);
        (out += ": ") += value;
    }
    return out + "\n}\n";
}

base::result<model_config> parse_config(base::byte_view bytes) {
    auto out = parse_values(bytes);
    if (!out) return out.error().at(config_file_name);
    return out;
}

}  // namespace tequio::training
