#include "training/model/safetensors.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/ensure.hpp"
#include "base/text.hpp"
#include "training/data/json_walk.hpp"
#include "training/errc.hpp"
#include "training/model/arena.hpp"
#include "training/numerics/float_formats.hpp"
#include "training/round/lines.hpp"

namespace tequio::training {
namespace {

constexpr std::size_t dimensions_max = 8;
constexpr std::string_view metadata_key = "__metadata__";
constexpr std::size_t metadata_max = 1024;

struct element {
    std::string_view name;
    std::uint64_t bytes;
};
/// Source: safetensors/src/tensor.rs, enum Dtype.
constexpr std::array<element, 15> elements{{{"BOOL", 1},
                                            {"U8", 1},
                                            {"I8", 1},
                                            {"F8_E5M2", 1},
                                            {"F8_E4M3", 1},
                                            {"I16", 2},
                                            {"U16", 2},
                                            {"F16", 2},
                                            {"BF16", 2},
                                            {"I32", 4},
                                            {"U32", 4},
                                            {"F32", 4},
                                            {"F64", 8},
                                            {"I64", 8},
                                            {"U64", 8}}};

/// What the header says of one tensor.
struct claim {
    std::string type;
    std::vector<std::uint64_t> shape;
    std::vector<std::uint64_t> offsets;
    bool has_shape = false;
    bool has_offsets = false;
};

base::error bad(std::string_view name, const std::string& what) {
    return fail(errc::bad_state, quoted(name) + ": " + what);
}

/// Gathers the claims of a header: {name: {dtype, shape, data_offsets}, "__metadata__": texts}.
class header_reader final : public json_visitor {
public:
    std::map<std::string, claim> claims;

    base::result<void> value(std::span<const std::string> path, json_kind kind,
                             std::string_view text) override {
        if (path.empty()) {
            if (kind == json_kind::object) return {};
            return fail(errc::bad_state, "the header is no JSON object");
        }
        if (path.size() == 1 && kind == json_kind::object) return begin(path[0]);
        if (path.size() != 2) return bad(path[0], "found something else than type, shape, offsets");
        if (path[0] == metadata_key) {
            if (kind == json_kind::text && ++metadata_ <= metadata_max) return {};
            return bad(path[0], "found something else than at most " +
                                    std::to_string(metadata_max) + " texts");
        }
        return field(path[0], path[1], kind, text);
    }

private:
    std::size_t metadata_ = 0;

    base::result<void> begin(const std::string& name) {
        if (name == metadata_key) return {};
        if (claims.size() == safetensors_tensors_max) {
            return fail(errc::bad_state,
                        "more than " + std::to_string(safetensors_tensors_max) + " tensors");
        }
        claims.emplace(name, claim{});
        return {};
    }
    base::result<void> field(const std::string& name, const std::string& key, json_kind kind,
                             std::string_view text) {
        auto& c = claims.at(name);
        if (key == "dtype" && kind == json_kind::text) {
            c.type = text.substr(0, 16);
            return {};
        }
        if (key == "shape")
            return number(name, key, kind, text, dimensions_max, c.has_shape, c.shape);
        if (key == "data_offsets") {
            return number(name, key, kind, text, 2, c.has_offsets, c.offsets);
        }
        return bad(name, "found " + quoted(key) + ", allowed: dtype, shape, data_offsets");
    }
    static base::result<void> number(const std::string& name, const std::string& key,
                                     json_kind kind, std::string_view text, std::size_t most,
                                     bool& begun, std::vector<std::uint64_t>& out) {
        if (kind == json_kind::array && !std::exchange(begun, true)) return {};
        std::optional<std::uint64_t> n;
        if (kind == json_kind::number) n = base::parse_u64(text);
        if (!begun || !n || out.size() == most) {
            return bad(name, "\"" + key + "\" is no list of at most " + std::to_string(most) +
                                 " integers");
        }
        out.push_back(*n);
        return {};
    }
};

base::result<safetensors_entry> checked(const std::string& name, claim& c, base::byte_view data) {
    const auto* type = std::find_if(elements.begin(), elements.end(),
                                    [&](const element& e) { return e.name == c.type; });
    if (type == elements.end()) {
        return bad(name, "found the type " + quoted(c.type) + ", which the format does not have");
    }
    if (!c.has_shape || c.offsets.size() != 2) return bad(name, "shape or offsets are missing");
    const auto begin = c.offsets[0];
    const auto end = c.offsets[1];
    if (begin > end || end > data.size()) {
        return bad(name, "the offsets " + std::to_string(begin) + ".." + std::to_string(end) +
                             " lie outside the file's " + std::to_string(data.size()) +
                             " bytes of data");
    }
    auto length = type->bytes;
    for (const auto n : c.shape) length = saturating_product({length, n});
    if (end - begin != length) {
        return bad(
            name, "its " + std::to_string(end - begin) + " bytes are not what type and shape need");
    }
    return safetensors_entry{std::move(c.type), std::move(c.shape), data.subspan(begin, length)};
}

/// Every byte of `data` belongs to exactly one tensor.
base::result<void> check_cover(const std::map<std::string, safetensors_entry>& entries,
                               base::byte_view data) {
    std::vector<std::pair<base::byte_view, const std::string*>> runs;
    runs.reserve(entries.size());
    for (const auto& [name, entry] : entries) runs.emplace_back(entry.bytes, &name);
    std::sort(runs.begin(), runs.end(), [](const auto& a, const auto& b) {
        return std::pair(a.first.data(), a.first.size()) <
               std::pair(b.first.data(), b.first.size());
    });
    const auto* end = data.data();
    for (const auto& [run, name] : runs) {
        if (run.data() < end) return bad(*name, "overlaps another tensor");
        if (run.data() > end) return bad(*name, "leaves a gap before it");
        end = run.data() + run.size();
    }
    if (end != data.data() + data.size()) {
        return fail(errc::bad_state, "there are bytes behind the last tensor");
    }
    return {};
}

std::string joined(std::span<const std::uint64_t> values) {
    std::string text;
    for (const auto v : values) {
        if (!text.empty()) text += ',';
        text += std::to_string(v);
    }
    return text;
}

void append_values(std::span<const float> values, weight_type type, base::byte_writer& out) {
    if (type == weight_type::f32) return out.raw(float_bytes(values));
    std::array<std::uint16_t, 4096> halves;
    while (!values.empty()) {
        const auto part = values.first(std::min(values.size(), halves.size()));
        std::transform(part.begin(), part.end(), halves.begin(), numerics::to_bf16);
        out.raw({reinterpret_cast<const std::uint8_t*>(halves.data()), 2 * part.size()});
        values = values.subspan(part.size());
    }
}

}  // namespace

std::string_view safetensors_name(weight_type type) {
    return type == weight_type::f32 ? "F32" : "BF16";
}

std::uint64_t size_of(weight_type type) {
    return type == weight_type::f32 ? 4 : 2;
}

base::byte_vector safetensors_header(std::span<const tensor_spec> tensors, weight_type type) {
    std::string header = R"({"__metadata__":{"format":"pt"})";
    std::uint64_t offset = 0;
    for (const auto& t : tensors) {
        const auto end = offset + t.size * size_of(type);
        header.append(",\"").append(t.name).append(R"(":{"dtype":")");
        header.append(safetensors_name(type)).append(R"(","shape":[)").append(joined(t.shape));
        header.append(R"(],"data_offsets":[)").append(std::to_string(offset)).append(",");
        header.append(std::to_string(end)).append("]}");
        offset = end;
    }
    header += "}";
    header.resize((header.size() + 7) / 8 * 8, ' ');
    base::byte_vector bytes;
    base::byte_writer out(bytes);
    out.u64(header.size());
    out.raw(base::as_bytes(header));
    return bytes;
}

base::byte_vector write_safetensors(std::span<const tensor_spec> tensors,
                                    std::span<const float> parameters, weight_type type) {
    auto file = safetensors_header(tensors, type);
    auto size = file.size();
    for (const auto& t : tensors) size += t.size * size_of(type);
    file.reserve(size);
    base::byte_writer out(file);
    for (const auto& t : tensors) append_values(parameters.subspan(t.offset, t.size), type, out);
    return file;
}

base::result<std::map<std::string, safetensors_entry>> parse_safetensors(base::byte_view file) {
    base::byte_reader in(file);
    const auto header_size = in.u64();
    if (in.failed() || header_size > file.size() - 8) {
        return fail(errc::bad_state, "the file is shorter than the header it announces");
    }
    if (header_size > safetensors_header_max_bytes) {
        return fail(errc::bad_state, "the header has " + std::to_string(header_size) +
                                         " bytes, read are at most " +
                                         std::to_string(safetensors_header_max_bytes));
    }
    header_reader header;
    TEQUIO_CHECK(walk_json(base::as_text(in.raw(header_size)),
                           {.depth = 3, .members = 4 * safetensors_tensors_max + 1024}, header));
    const auto data = file.subspan(8 + header_size);
    std::map<std::string, safetensors_entry> entries;
    for (auto& [name, c] : header.claims) {
        TEQUIO_TRY(auto entry, checked(name, c, data));
        entries.emplace_hint(entries.end(), name, std::move(entry));
    }
    TEQUIO_CHECK(check_cover(entries, data));
    return entries;
}

}  // namespace tequio::training
