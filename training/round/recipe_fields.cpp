#include "training/round/recipe_fields.hpp"

#include <algorithm>
#include <cmath>

#include "base/text.hpp"
#include "training/numerics/mx_block.hpp"
#include "training/round/lines.hpp"

namespace tequio::training {
namespace {

static_assert(recipe_limits::window_min == numerics::mx_window_min);
static_assert(recipe_limits::window_max == numerics::mx_window_max);

using wide = unsigned __int128;

/// A stranger's list may be as long as a recipe's text; a message is not.
constexpr std::size_t cuts_shown_max = 60;

bool among(std::string_view word, std::span<const std::string_view> words) {
    return std::find(words.begin(), words.end(), word) != words.end();
}

class field_checker {
public:
    explicit field_checker(std::vector<field_fault>& out) : out_(out) {}

    void section(std::string_view name) { section_ = name; }
    void integer(std::string_view key, std::uint64_t value, std::uint64_t low, std::uint64_t high) {
        if (value >= low && value <= high) return;
        add(key, std::to_string(value),
            integer_range_text(static_cast<std::int64_t>(low), static_cast<std::int64_t>(high)));
    }
    void signed_integer(std::string_view key, int value, int low, int high) {
        if (value < low || value > high) {
            add(key, std::to_string(value), integer_range_text(low, high));
        }
    }
    void real(std::string_view key, double value, const real_bounds& bounds) {
        if (!bounds.hold(value)) add(key, base::shortest(value), bounds.text());
    }
    void word(std::string_view key, std::string_view value, const word_choice& choice) {
        if (!among(value, choice.has)) out_.push_back(word_fault(full(key), value, choice));
    }
    void constant(std::string_view, const word_choice&) {}
    void flag(std::string_view, bool) {}
    void layers(std::string_view, const std::vector<std::uint64_t>&) {}
    void blob(std::string_view key, const base::blob_ref& ref) {
        if (ref.size > base::blob_size_max_bytes) add(key, ref.text(), "a blob of at most 1 TiB");
    }
    void optional_blob(std::string_view key, const std::optional<base::blob_ref>& ref,
                       std::string_view) {
        if (ref) blob(key, *ref);
    }

private:
    std::string full(std::string_view key) const { return section_ + "." + std::string(key); }
    void add(std::string_view key, std::string found, std::string allowed) {
        out_.push_back({full(key), std::move(found), std::move(allowed)});
    }
    std::vector<field_fault>& out_;
    std::string section_;
};

void check_heads(const model_config& m, std::vector<field_fault>& out) {
    // Either of the two may be the mistake, so both lines are named.
    const auto refuse = [&](std::string width_allowed, std::string heads_allowed) {
        out.push_back({"model.heads", std::to_string(m.heads), std::move(heads_allowed)});
        out.push_back({"model.width", std::to_string(m.width), std::move(width_allowed)});
    };
    const auto width = " (width is " + std::to_string(m.width) + ")";
    const auto heads = " (heads is " + std::to_string(m.heads) + ")";
    if (m.width % m.heads != 0) {
        refuse("a multiple of heads" + heads, "a divisor of width" + width);
    } else if (m.width / m.heads > recipe_limits::head_size) {
        const auto most = std::to_string(recipe_limits::head_size);
        refuse("at most " + most + " times heads" + heads, "at least width / " + most + width);
    }
}

void check_llama(const model_config& m, std::vector<field_fault>& out) {
    if (m.heads % m.kv_heads != 0) {
        out.push_back({"model.kv_heads", std::to_string(m.kv_heads),
                       "a divisor of heads (" + std::to_string(m.heads) + ")"});
    }
    if (m.width % (2 * m.heads) != 0) {
        out.push_back({"model.width", std::to_string(m.width),
                       "an even multiple of heads (" + std::to_string(m.heads) +
                           "): rotary positions turn pairs"});
    }
}

}  // namespace

bool real_bounds::hold(double x) const {
    if (!std::isfinite(x) || std::signbit(x)) return false;
    if (zero && x == 0) return true;
    return x >= low && (below ? x < high : x <= high);
}

std::string real_bounds::text() const {
    std::string out = "a real from " + base::shortest(low) + (below ? " to below " : " to ") +
                      base::shortest(high);
    if (zero) out += ", or 0";
    return out;
}

std::string join_words(std::span<const std::string_view> words) {
    std::string out;
    for (const auto word : words) {
        if (!out.empty()) out += ", ";
        out += word;
    }
    return out;
}

std::string integer_range_text(std::int64_t low, std::int64_t high) {
    return "an integer from " + std::to_string(low) + " to " + std::to_string(high);
}

std::string field_fault::text() const {
    return key + ": found " + found + ", allowed: " + allowed;
}

field_fault word_fault(std::string key, std::string_view found, const word_choice& choice) {
    const auto has = join_words(choice.has);
    field_fault out{std::move(key), quoted(found), has, among(found, choice.lacks)};
    if (out.lacking)
        out.allowed += " (" + out.found + " is not in this version (has: " + has + "))";
    return out;
}

void check_fields(const recipe& r, std::vector<field_fault>& out) {
    field_checker checker(out);
    visit_model(r.model, checker);
    visit_data(r.data, r.model.family, checker);
    visit_train(r.train, checker);
    visit_slices(r.slices, checker);
}

void check_model_relations(const model_config& m, std::vector<field_fault>& out) {
    if (m.family != "mlp") check_heads(m, out);
    if (m.family == "llama" && out.empty()) check_llama(m, out);
    const auto parameters = parameter_count(m);
    if (!parameters) {
        out.push_back(
            {"model.layers", std::to_string(m.layers),
             "a model of at most " + std::to_string(recipe_limits::parameters) + " parameters"});
    } else if (m.init && m.init->size != *parameters * sizeof(float)) {
        out.push_back({"model.init", m.init->text(),
                       "a blob of " + std::to_string(*parameters * sizeof(float)) +
                           " bytes: one float32 a parameter"});
    }
}

void check_train_relations(const model_config& m, const train_config& t,
                           std::vector<field_fault>& out) {
    if (t.synchronous() && t.inner_steps != 1) {
        out.push_back(
            {"train.inner_steps", std::to_string(t.inner_steps), std::string(one_step_allowed)});
    }
    // A mean of block codes can reach 127 * 2^(window + 39): below f32's limit of 2^23 up to here.
    if (t.codec_down == "f32" && t.codec != "f32" &&
        t.window > recipe_limits::window_max_f32_down) {
        out.push_back({"train.window", std::to_string(t.window),
                       "at most " + std::to_string(recipe_limits::window_max_f32_down) +
                           " with codec \"" + t.codec + "\" and codec_down \"f32\""});
    }
    if (t.micro_batch > t.batch || t.batch % t.micro_batch != 0) {
        out.push_back({"train.micro_batch", std::to_string(t.micro_batch),
                       "a divisor of batch (" + std::to_string(t.batch) + ")"});
    }
    const wide step = wide{t.batch} * m.context;
    if (step > recipe_limits::step_tokens) {
        out.push_back({"train.batch", std::to_string(t.batch),
                       "at most " + std::to_string(recipe_limits::step_tokens / m.context) +
                           " with context " + std::to_string(m.context)});
        return;
    }
    if (wide{token_flops(m)} * step * t.inner_steps > recipe_limits::lane_flops) {
        out.push_back({"train.inner_steps", std::to_string(t.inner_steps),
                       "a lane of at most 2^62 floating-point operations"});
    }
}

void check_data_relations(const recipe& r, std::vector<field_fault>& out) {
    const auto& d = r.data;
    const bool examples = r.model.family == "mlp";
    const auto add = [&](const char* key, const char* key_of_examples, std::uint64_t found,
                         std::string allowed) {
        out.push_back(
            {examples ? key_of_examples : key, std::to_string(found), std::move(allowed)});
    };
    if (d.token_bytes == 3 || (examples && d.token_bytes == 2)) {
        add("data.token_bytes", "data.value_bytes", d.token_bytes,
            examples ? "1 or 4" : "1, 2 or 4");
    }
    if (d.tokens.size != data_blob_bytes(r.model, d)) {
        add("data.token_count", "data.example_count", d.token_count,
            "as many as the blob's " + std::to_string(d.tokens.size) + " bytes hold");
        return;
    }
    // An example is one unit; a sequence of tokens has one more than the context, the last target.
    const auto unit = examples ? 1 : r.model.context + 1;
    const auto least =
        examples ? std::string("1") : "at least context + 1 (" + std::to_string(unit) + ")";
    if (d.validation_tokens != 0 && d.validation_tokens < unit) {
        add("data.validation_tokens", "data.validation_examples", d.validation_tokens,
            "0, or " + least);
    }
    if (d.token_count < d.validation_tokens || d.token_count - d.validation_tokens < unit) {
        add("data.token_count", "data.example_count", d.token_count,
            least + " beside the validation " + (examples ? "examples" : "tokens"));
    }
}

void check_slices_relations(const model_config& m, const slices_config& s,
                            std::vector<field_fault>& out) {
    if (s.cuts.empty()) {
        // Else two recipes of the same bits had two names.
        if (s.activations == activations_has.front()) return;
        out.push_back({"slices.activations", quoted(s.activations), "f32 without cuts"});
        return;
    }
    const auto refuse = [&](std::string allowed) {
        auto found = cuts_text(s.cuts);
        if (found.size() > cuts_shown_max) {
            found.resize(cuts_shown_max);
            found.append("...");
        }
        out.push_back({"slices.cuts", "[" + found + "]", std::move(allowed)});
    };
    if (m.family == "mlp") return refuse("none: an mlp is not divided");
    if (m.layers < 2) return refuse("none: one layer is not divided");
    std::uint64_t before = 0;
    for (const auto cut : s.cuts) {
        if (cut <= before || cut >= m.layers) {
            return refuse("layers from 1 to " + std::to_string(m.layers - 1) +
                          ", each above the one before");
        }
        before = cut;
    }
}

std::string cuts_text(const std::vector<std::uint64_t>& cuts) {
    std::string out;
    for (const auto cut : cuts) {
        if (!out.empty()) out += ',';
        out += std::to_string(cut);
    }
    return out.empty() ? "none" : out;
}

}  // namespace tequio::training
