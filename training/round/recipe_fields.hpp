#pragma once

/// The one list of a recipe's fields: names, order and bounds. The canonical text's writer and
/// reader, the check and the job file's reader are visitors of it, so they cannot disagree.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "training/recipe.hpp"

namespace tequio::training {

/// The values that a word field can have, and those that it will have one day.
struct word_choice {
    std::span<const std::string_view> has;
    std::span<const std::string_view> lacks;  ///< refused as "not in this version"
};

inline constexpr std::array<std::string_view, 3> families_has{"gpt2", "llama", "mlp"};
inline constexpr std::array<std::string_view, 0> families_lacks{};
inline constexpr std::array<std::string_view, 2> methods_has{method_diloco, method_synchronous};
inline constexpr std::array<std::string_view, 0> methods_lacks{};
inline constexpr std::array<std::string_view, 3> codecs_has{"f32", "mxint8", "mxfp4"};
inline constexpr std::array<std::string_view, 3> decays_has{"cosine", "linear", "none"};
inline constexpr std::array<std::string_view, 1> numerics_has{"exact/1"};
inline constexpr std::array<std::string_view, 1> inner_has{"adamw"};
inline constexpr std::array<std::string_view, 1> outer_has{"nesterov"};
inline constexpr std::array<std::string_view, 3> activations_has{"f32", "bf16", "mxint8"};

/// Bounds of a real. `zero`: 0 is allowed although it is below `low`. `below`: `high` itself is
/// not.
struct real_bounds {
    double low = 0;
    double high = 0;
    bool zero = false;
    bool below = false;
    /// Finite, not -0, and within the bounds.
    bool hold(double x) const;
    std::string text() const;  ///< "a real from 0 to 1"
};

inline constexpr real_bounds rate_bounds{recipe_limits::rate_min, recipe_limits::rate_max};
inline constexpr real_bounds clip_bounds{recipe_limits::rate_min, recipe_limits::rate_max, true};
inline constexpr real_bounds beta_bounds{0, 1, false, true};
inline constexpr real_bounds share_bounds{0, 1};
inline constexpr real_bounds epsilon_bounds{recipe_limits::rate_min, 1};
inline constexpr real_bounds theta_bounds{1, 1e12};
inline constexpr real_bounds decay_bounds{0, 1000};
inline constexpr real_bounds outer_rate_bounds{recipe_limits::rate_min, 1000};

/// Visitors have: section(name), integer(key, value, low, high), signed_integer(key, int, low,
/// high), real(key, value, bounds), flag(key, bool), word(key, value, choice), constant(key,
/// choice), blob(key, value), optional_blob(key, value, word for none) and layers(key, list of
/// layers). Keys are without their section. Which fields there are may depend on those visited
/// before.
template <class Model, class Visitor>
void visit_model(Model& m, Visitor& v) {
    using limit = recipe_limits;
    v.section("model");
    v.word("family", m.family, word_choice{families_has, families_lacks});
    if (m.family == "mlp") {
        v.integer("inputs", m.inputs, 1, limit::inputs);
        v.integer("layers", m.layers, 1, limit::layers);
        v.integer("width", m.width, 1, limit::width);
        v.integer("classes", m.vocabulary, 2, limit::vocabulary);
    } else {
        v.integer("layers", m.layers, 1, limit::layers);
        v.integer("heads", m.heads, 1, limit::heads);
        v.integer("width", m.width, 1, limit::width);
        v.integer("context", m.context, 1, limit::context);
        v.integer("vocabulary", m.vocabulary, 2, limit::vocabulary);
    }
    if (m.family == "llama") {
        v.integer("kv_heads", m.kv_heads, 1, limit::heads);
        v.integer("hidden", m.hidden, 1, limit::hidden);
        v.real("rope_theta", m.rope_theta, theta_bounds);
        v.real("norm_epsilon", m.norm_epsilon, epsilon_bounds);
        v.flag("tied", m.tied);
    }
    v.optional_blob("init", m.init, "random");
}

template <class Data, class Visitor>
void visit_data(Data& d, std::string_view family, Visitor& v) {
    constexpr auto most = base::blob_size_max_bytes;
    const bool examples = family == "mlp";
    v.section("data");
    v.blob(examples ? "examples" : "tokens", d.tokens);
    v.integer(examples ? "value_bytes" : "token_bytes", d.token_bytes, 1, 4);
    v.integer(examples ? "example_count" : "token_count", d.token_count, 1, most);
    v.integer(examples ? "validation_examples" : "validation_tokens", d.validation_tokens, 0, most);
}

template <class Train, class Visitor>
void visit_train(Train& t, Visitor& v) {
    using limit = recipe_limits;
    constexpr std::uint64_t any = std::uint64_t{1} << 40;
    v.section("train");
    v.word("method", t.method, word_choice{methods_has, methods_lacks});
    v.integer("lanes", t.lanes, 1, limit::lanes);
    v.integer("rounds", t.rounds, 1, limit::rounds);
    v.integer("inner_steps", t.inner_steps, 1, limit::inner_steps);
    v.integer("batch", t.batch, 1, limit::step_tokens);
    v.integer("micro_batch", t.micro_batch, 1, limit::step_tokens);
    v.signed_integer("window", t.window, limit::window_min, limit::window_max);
    v.constant("inner.optimizer", word_choice{inner_has, {}});
    v.real("inner.lr", t.inner.lr, rate_bounds);
    v.real("inner.beta1", t.inner.beta1, beta_bounds);
    v.real("inner.beta2", t.inner.beta2, beta_bounds);
    v.real("inner.epsilon", t.inner.epsilon, epsilon_bounds);
    v.real("inner.weight_decay", t.inner.weight_decay, decay_bounds);
    v.real("inner.clip", t.inner.clip, clip_bounds);
    if (!t.synchronous()) {
        v.integer("inner.ramp_steps", t.inner.ramp_steps, 0, any);
        v.constant("outer.optimizer", word_choice{outer_has, {}});
        v.real("outer.lr", t.outer.lr, outer_rate_bounds);
        v.real("outer.momentum", t.outer.momentum, beta_bounds);
    }
    v.integer("schedule.warmup", t.schedule.warmup, 0, any);
    v.word("schedule.decay", t.schedule.decay, word_choice{decays_has, {}});
    v.real("schedule.final_share", t.schedule.final_share, share_bounds);
    v.word("codec", t.codec, word_choice{codecs_has, {}});
    v.word("codec_down", t.codec_down, word_choice{codecs_has, {}});
    v.word("numerics", t.numerics, word_choice{numerics_has, {}});
    v.integer("seed", t.seed, 0, (std::uint64_t{1} << 63) - 1);
}

template <class Slices, class Visitor>
void visit_slices(Slices& s, Visitor& v) {
    v.section("slices");
    v.layers("cuts", s.cuts);
    v.word("activations", s.activations, word_choice{activations_has, {}});
}

/// What is wrong with one field.
struct field_fault {
    std::string key;  ///< with its section: "model.width"
    std::string found;
    std::string allowed;
    bool lacking = false;  ///< known, but not in this version
    /// `key: found F, allowed: A`, and for a lacking word that it is not in this version.
    std::string text() const;
};

/// The fault of a word that is not among `choice.has`, as written by the user.
field_fault word_fault(std::string key, std::string_view found, const word_choice& choice);
std::string join_words(std::span<const std::string_view> words);
std::string integer_range_text(std::int64_t low, std::int64_t high);

/// Each field by itself. Appends.
void check_fields(const recipe& r, std::vector<field_fault>& out);
/// Said of an `inner_steps` other than 1 with method synchronous.
inline constexpr std::string_view one_step_allowed =
    "1 with method synchronous: each round is one step of all lanes together";
/// Between fields that are each within their own bounds: divisibility, products. Appends.
void check_model_relations(const model_config& m, std::vector<field_fault>& out);
void check_train_relations(const model_config& m, const train_config& t,
                           std::vector<field_fault>& out);
void check_data_relations(const recipe& r, std::vector<field_fault>& out);
void check_slices_relations(const model_config& m, const slices_config& s,
                            std::vector<field_fault>& out);

/// Cuts as a recipe's text has them: "2,4", or "none".
std::string cuts_text(const std::vector<std::uint64_t>& cuts);

}  // namespace tequio::training
