#include "training/model/weight_files.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "training/data/json_walk.hpp"
#include "training/errc.hpp"
#include "training/model/folder_config.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/float_formats.hpp"
#include "training/round/lines.hpp"

namespace tequio::training {
namespace {

constexpr std::size_t index_max_bytes = std::size_t{4} << 20;
constexpr std::size_t shards_max = 1024;
constexpr std::size_t name_max_bytes = 128;

base::error bad_file(std::string_view file, const std::string& what) {
    return fail(errc::bad_state, std::string(file) + ": " + what);
}
base::error bad_file(std::string_view file, std::string_view tensor, const std::string& what) {
    return bad_file(file, quoted(tensor) + ": " + what);
}

/// A file beside the index: no folder, nothing hidden, nothing that a terminal would obey.
bool is_plain_name(std::string_view name) {
    const auto plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_' || c == '.';
    };
    return name.size() <= name_max_bytes && name.ends_with(".safetensors") && name.front() != '.' &&
           std::all_of(name.begin(), name.end(), plain);
}

/// {"metadata": {...}, "weight_map": {tensor: file}}. Source: transformers, modeling_utils.py.
class index_reader final : public json_visitor {
public:
    std::vector<std::string> files;            ///< ascending
    std::map<std::string, std::string> place;  ///< tensor -> file

    base::result<void> value(std::span<const std::string> path, json_kind kind,
                             std::string_view text) override {
        if (path.empty() || path[0] != "weight_map") {
            if (path.empty() && kind != json_kind::object) return malformed();
            return ++others_ > 4096 ? malformed() : base::result<void>();
        }
        if (path.size() == 1 && kind == json_kind::object) return {};
        if (path.size() != 2 || kind != json_kind::text) return malformed();
        if (!is_plain_name(text)) {
            return fail(errc::bad_state, quoted(path[1]) + " is said to be in " + quoted(text) +
                                             ", allowed: a .safetensors file in the same folder");
        }
        if (place.size() == safetensors_tensors_max) return malformed();
        place.emplace(path[1], text);
        const auto at = std::lower_bound(files.begin(), files.end(), text);
        if (at != files.end() && *at == text) return {};
        if (files.size() == shards_max) return malformed();
        files.emplace(at, text);
        return {};
    }

private:
    static base::error malformed() {
        return fail(errc::bad_state,
                    "no index of at most " + std::to_string(safetensors_tensors_max) +
                        " tensors in at most " + std::to_string(shards_max) + " files");
    }
    std::size_t others_ = 0;
};

base::result<index_reader> parse_index(base::byte_view bytes) {
    if (bytes.size() > index_max_bytes) {
        return bad_file(index_file_name, "found " + std::to_string(bytes.size()) +
                                             " bytes, allowed: at most " +
                                             std::to_string(index_max_bytes));
    }
    index_reader reader;
    const json_limits limits{.depth = 8, .members = safetensors_tensors_max + 4096};
    if (const auto done = walk_json(base::as_text(bytes), limits, reader); !done) {
        return done.error().at(index_file_name);
    }
    if (reader.files.empty()) return bad_file(index_file_name, "it names no file");
    return reader;
}

float load_f32(const std::uint8_t* at) {
    float value = 0;
    std::memcpy(&value, at, sizeof value);
    return value;
}
std::uint16_t load_16(const std::uint8_t* at) {
    return static_cast<std::uint16_t>(at[0] | at[1] << 8);
}

/// Converts and flushes; false when a value is not finite.
bool convert(const safetensors_entry& e, std::span<float> out) {
    const auto* at = e.bytes.data();
    if (e.type == "F32") {
        for (float& x : out) x = load_f32(at), at += 4;
    } else if (e.type == "F16") {
        for (float& x : out) x = numerics::from_f16(load_16(at)), at += 2;
    } else {
        for (float& x : out) x = numerics::from_bf16(load_16(at)), at += 2;
    }
    bool finite = true;
    for (float& x : out) {
        finite = finite && numerics::finite(x);
        x = numerics::flush(x);
    }
    return finite;
}

bool is_float(const safetensors_entry& e) {
    return e.type == "F32" || e.type == "F16" || e.type == "BF16";
}

std::string shape_text(std::span<const std::uint64_t> shape) {
    std::string out = "(";
    for (const auto n : shape) out += (out.size() > 1 ? ", " : "") + std::to_string(n);
    return out + ")";
}

/// The name that the layout has for a tensor of a file; nothing for a buffer.
std::optional<std::string> layout_name(const std::string& name, const folder_family& family) {
    for (const auto buffer : family.buffers) {
        if (name.ends_with(buffer)) return std::nullopt;
    }
    if (name == family.head || name.starts_with(family.prefix)) return name;
    return std::string(family.prefix) + name;
}

base::result<void> check_usable(const std::string& file, const std::string& name,
                                const safetensors_entry& e) {
    if (is_float(e)) return {};
    return fail(errc::not_in_version, file + ": " + quoted(name) + ": type " + e.type +
                                          " is not in this version (has: F32, F16, BF16)");
}

}  // namespace

base::result<std::vector<std::string>> shard_names(base::byte_view index_json) {
    TEQUIO_TRY(auto index, parse_index(index_json));
    return std::move(index.files);
}

base::result<weight_files::found_tensors> weight_files::find_all(const folder_view& files,
                                                                 const model_config& model) {
    std::optional<index_reader> index;
    if (files.index) {
        TEQUIO_TRY(auto parsed, parse_index(*files.index));
        for (const auto& name : parsed.files) {
            if (!files.weights.contains(name))
                return bad_file(name, "is missing; the index names it");
        }
        index.emplace(std::move(parsed));
    }
    const auto& family = folder_family_of(model.family);
    found_tensors out;
    std::size_t seen = 0;
    for (const auto& [file, bytes] : files.weights) {
        auto entries = parse_safetensors(bytes);
        if (!entries) return entries.error().at(file);
        seen += entries->size();
        if (seen > safetensors_tensors_max) return bad_file(file, "too many tensors in all files");
        for (auto& [name, entry] : *entries) {
            if (index) {
                const auto place = index->place.find(name);
                if (place == index->place.end() || place->second != file) {
                    return bad_file(file, name, "the index does not say that it is here");
                }
                index->place.erase(place);
            }
            auto known = layout_name(name, family);
            if (!known) continue;
            TEQUIO_CHECK(check_usable(file, name, entry));
            if (!out.try_emplace(std::move(*known), found_tensor{file, std::move(entry)}).second) {
                return bad_file(file, name, "a tensor of this name was there before");
            }
        }
    }
    if (index && !index->place.empty()) {
        const auto& [name, file] = *index->place.begin();
        return bad_file(file, name, "is missing; the index says that it is here");
    }
    return out;
}

base::result<void> weight_files::check_head(const found_tensor& head,
                                            std::string_view embedding) const {
    const auto it = std::find_if(layout_.tensors.begin(), layout_.tensors.end(),
                                 [&](const auto& t) { return t.name == embedding; });
    const auto& other = tensors_[static_cast<std::size_t>(it - layout_.tensors.begin())].entry;
    const auto same_value = [&] {
        std::array<float, 1024> a;
        std::array<float, 1024> b;
        const auto part = [](const safetensors_entry& e, std::size_t first, std::size_t n,
                             std::size_t all) {
            const auto element = e.bytes.size() / all;
            return safetensors_entry{e.type, {}, e.bytes.subspan(first * element, n * element)};
        };
        for (std::size_t i = 0; i < it->size; i += a.size()) {
            const auto n = std::min<std::size_t>(a.size(), it->size - i);
            convert(part(head.entry, i, n, it->size), std::span(a).first(n));
            convert(part(other, i, n, it->size), std::span(b).first(n));
            if (std::memcmp(a.data(), b.data(), n * sizeof(float)) != 0) return false;
        }
        return true;
    };
    if (head.entry.shape == it->shape && same_value()) return {};
    return fail(errc::not_in_version,
                head.file + ": the head differs from " + std::string(embedding) +
                    " although config.json ties them; such a model is not in this version");
}

base::result<void> weight_files::take(found_tensors& all, const model_config& model) {
    for (const auto& t : layout_.tensors) {
        const auto it = all.find(t.name);
        if (it == all.end()) {
            return fail(errc::bad_state, t.name + " is in no safetensors file of the folder");
        }
        if (it->second.entry.shape != t.shape) {
            return bad_file(it->second.file, t.name,
                            "found the shape " + shape_text(it->second.entry.shape) +
                                ", allowed: " + shape_text(t.shape) + " as config.json says");
        }
        tensors_.push_back(std::move(it->second));
        all.erase(it);
    }
    const auto& family = folder_family_of(model.family);
    if (const auto head = all.find(std::string(family.head)); head != all.end()) {
        TEQUIO_CHECK(check_head(head->second, family.embedding));
        all.erase(head);
    }
    if (all.empty()) return {};
    const auto& [name, other] = *all.begin();
    return bad_file(other.file, name, "a model of this config.json has no such tensor");
}

base::result<weight_files> weight_files::open(const folder_view& files, const model_config& model) {
    TEQUIO_TRY(auto all, find_all(files, model));
    // A config that claims more than the files hold: said before a layout is made of it.
    std::uint64_t bytes = 0;
    for (const auto& [name, view] : files.weights) bytes += view.size();
    const auto parameters = parameter_count(model).value_or(recipe_limits::parameters);
    const auto least = folder_family_of(model.family).layer_tensors * model.layers;
    if (all.size() < least || bytes / sizeof(std::uint16_t) < parameters) {
        return fail(errc::bad_state, std::string(config_file_name) + ": a model of " +
                                         std::to_string(parameters) + " parameters in " +
                                         std::to_string(model.layers) +
                                         " layers is more than the weight files hold (" +
                                         std::to_string(all.size()) + " tensors, " +
                                         std::to_string(bytes) + " bytes)");
    }
    weight_files out;
    out.layout_ = layout_of(model);
    TEQUIO_CHECK(out.take(all, model));
    return out;
}

base::result<void> weight_files::read(std::size_t index, std::span<float> out) const {
    const auto& t = tensors_[index];
    if (convert(t.entry, out)) return {};
    return bad_file(t.file, layout_.tensors[index].name, "holds a value that is not finite");
}

}  // namespace tequio::training
