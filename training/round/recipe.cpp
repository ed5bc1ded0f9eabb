#include "training/recipe.hpp"

#include "base/sha256.hpp"
#include "base/text.hpp"
#include "training/errc.hpp"
#include "training/model/family.hpp"
#include "training/round/lines.hpp"
#include "training/round/recipe_fields.hpp"

namespace tequio::training {
namespace {

constexpr std::string_view recipe_magic = "tequio/recipe/v1";

using wide = unsigned __int128;

std::string header_line(std::string_view section) {
    std::string out = "[";
    out += section;
    out += ']';
    return out;
}

/// Visitor that writes the canonical text.
class text_writer {
public:
    explicit text_writer(line_writer& out) : out_(out) {}
    void section(std::string_view name) { out_.line(header_line(name)); }
    void integer(std::string_view key, std::uint64_t value, std::uint64_t, std::uint64_t) {
        out_.value(key, value);
    }
    void signed_integer(std::string_view key, int value, int, int) {
        out_.value(key, std::to_string(value));
    }
    void real(std::string_view key, double value, const real_bounds&) { out_.real(key, value); }
    void word(std::string_view key, std::string_view value, const word_choice&) {
        out_.value(key, value);
    }
    void constant(std::string_view key, const word_choice& choice) {
        out_.value(key, choice.has.front());
    }
    void flag(std::string_view key, bool value) { out_.value(key, value ? "true" : "false"); }
    void layers(std::string_view key, const std::vector<std::uint64_t>& cuts) {
        out_.value(key, cuts_text(cuts));
    }
    void blob(std::string_view key, const base::blob_ref& ref) { out_.value(key, ref.text()); }
    void optional_blob(std::string_view key, const std::optional<base::blob_ref>& ref,
                       std::string_view none) {
        out_.value(key, ref ? ref->text() : std::string(none));
    }

private:
    line_writer& out_;
};

/// Visitor that reads it back. Bounds are `check_recipe`'s business, except where a value has to
/// fit its type and where a word is known but lacking.
class text_reader {
public:
    explicit text_reader(line_reader& in) : in_(in) {}
    void section(std::string_view name) { in_.line(header_line(name)); }
    template <class Integer>
    void integer(std::string_view key, Integer& value, std::uint64_t low, std::uint64_t high) {
        const auto n = in_.integer(key);
        if (n < low || n > high) {
            in_.refuse(key, integer_range_text(static_cast<std::int64_t>(low),
                                               static_cast<std::int64_t>(high)));
        }
        value = in_.failed() ? Integer{} : static_cast<Integer>(n);
    }
    void signed_integer(std::string_view key, int& value, int low, int high) {
        const auto n = in_.signed_integer(key);
        if (n < low || n > high) in_.refuse(key, integer_range_text(low, high));
        value = in_.failed() ? 0 : static_cast<int>(n);
    }
    void real(std::string_view key, double& value, const real_bounds&) { value = in_.real(key); }
    void word(std::string_view key, std::string& value, const word_choice&) {
        value = in_.value(key);
    }
    void constant(std::string_view key, const word_choice& choice) {
        const auto found = in_.value(key);
        if (!in_.failed() && found != choice.has.front()) {
            in_.refuse(key, word_fault("", found, choice).allowed);
        }
    }
    void flag(std::string_view key, bool& value) {
        const auto text = in_.value(key);
        if (in_.failed()) return;
        if (text != "true" && text != "false") return in_.refuse(key, "true or false");
        value = text == "true";
    }
    void layers(std::string_view key, std::vector<std::uint64_t>& cuts) {
        const auto text = in_.value(key);
        cuts.clear();
        if (in_.failed() || text == cuts_text({})) return;
        for (const auto part : base::split(text, ',')) {
            const auto layer = base::parse_u64(part);
            if (!layer) return in_.refuse(key, "none, or layers like 2,4");
            cuts.push_back(*layer);
        }
    }
    void blob(std::string_view key, base::blob_ref& value) {
        const auto text = in_.value(key);
        if (!in_.failed()) read_blob(key, text, value);
    }
    void optional_blob(std::string_view key, std::optional<base::blob_ref>& value,
                       std::string_view none) {
        const auto text = in_.value(key);
        value.reset();
        if (!in_.failed() && text != none) read_blob(key, text, value.emplace());
    }

private:
    void read_blob(std::string_view key, std::string_view text, base::blob_ref& value) {
        const auto ref = base::parse_blob_ref(text);
        if (!ref) return in_.refuse(key, "64 hexadecimal digits, ':', size in bytes");
        value = *ref;
    }

    line_reader& in_;
};

}  // namespace

std::string recipe_text(const recipe& r) {
    line_writer out;
    out.line(recipe_magic);
    text_writer writer(out);
    visit_model(r.model, writer);
    visit_data(r.data, r.model.family, writer);
    visit_train(r.train, writer);
    visit_slices(r.slices, writer);
    return out.take();
}

base::result<void> check_recipe(const recipe& r) {
    std::vector<field_fault> faults;
    check_fields(r, faults);
    // Relations divide and multiply: only values within their own bounds may get there.
    if (faults.empty()) check_model_relations(r.model, faults);
    if (faults.empty()) check_train_relations(r.model, r.train, faults);
    if (faults.empty()) check_data_relations(r, faults);
    if (faults.empty()) check_slices_relations(r.model, r.slices, faults);
    if (faults.empty()) return {};
    const auto& first = faults.front();
    return fail(first.lacking ? errc::not_in_version : errc::bad_recipe, "recipe " + first.text());
}

base::result<recipe> parse_recipe(std::string_view text) {
    if (text.size() > recipe_limits::text_bytes) {
        return fail(errc::bad_recipe, "recipe: found " + std::to_string(text.size()) +
                                          " bytes, allowed: at most " +
                                          std::to_string(recipe_limits::text_bytes));
    }
    line_reader in(text, errc::bad_recipe, "recipe");
    recipe r;
    in.line(recipe_magic);
    text_reader reader(in);
    visit_model(r.model, reader);
    if (r.model.family == "mlp") r.model.context = 1;
    visit_data(r.data, r.model.family, reader);
    visit_train(r.train, reader);
    visit_slices(r.slices, reader);
    TEQUIO_CHECK(in.finish());
    TEQUIO_CHECK(check_recipe(r));
    if (recipe_text(r) != text) return fail(errc::bad_recipe, "recipe: not in canonical form");
    return r;
}

base::recipe_id recipe_id_of(const recipe& r) {
    return base::id_of<base::recipe_id>(base::as_bytes(recipe_text(r)));
}

std::optional<std::uint64_t> parameter_count(const model_config& m) {
    const auto* family = find_family(m.family);
    // Each factor of a family's formula is below 2^21 here, so 128 bits hold every product.
    if (family == nullptr || m.layers > recipe_limits::layers || m.width > recipe_limits::width ||
        m.context > recipe_limits::context || m.vocabulary > recipe_limits::vocabulary ||
        m.heads > recipe_limits::heads || m.kv_heads > recipe_limits::heads ||
        m.hidden > recipe_limits::hidden || m.inputs > recipe_limits::inputs) {
        return std::nullopt;
    }
    const wide count = family->parameters(m);
    if (count > recipe_limits::parameters) return std::nullopt;
    return static_cast<std::uint64_t>(count);
}

std::uint64_t lane_tokens(const recipe& r) {
    return r.train.inner_steps * r.train.batch * r.model.context;
}

std::vector<base::blob_ref> recipe_blobs(const recipe& r) {
    std::vector<base::blob_ref> out{r.data.tokens};
    if (r.model.init) out.push_back(*r.model.init);
    return out;
}

std::string_view counted_as(const model_config& model) {
    return model.family == "mlp" ? "examples" : "tokens";
}

std::uint64_t data_blob_bytes(const model_config& m, const data_config& d) {
    const wide values = m.family == "mlp" ? m.inputs : 1;
    const wide unit = values * d.token_bytes + (m.family == "mlp" ? sizeof(std::uint32_t) : 0);
    const wide scales = m.family == "mlp" ? 2 * sizeof(float) * values : 0;
    const wide bytes = scales + unit * d.token_count;
    return bytes > UINT64_MAX ? UINT64_MAX : static_cast<std::uint64_t>(bytes);
}

std::uint64_t token_flops(const model_config& m) {
    const std::uint64_t attention = m.family == "mlp" ? 0 : 12 * m.layers * m.context * m.width;
    return 6 * parameter_count(m).value_or(recipe_limits::parameters) + attention;
}

std::uint64_t lane_flops(const recipe& r) {
    const wide flops = wide{token_flops(r.model)} * lane_tokens(r);
    return flops > recipe_limits::lane_flops ? recipe_limits::lane_flops
                                             : static_cast<std::uint64_t>(flops);
}

}  // namespace tequio::training
