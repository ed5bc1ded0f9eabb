#include "training/model/safetensors.hpp"

#include <algorithm>
#include <boost/json.hpp>

#include "base/ensure.hpp"
#include "training/errc.hpp"
#include "training/model/arena.hpp"

namespace tequio::training {
namespace json = boost::json;

namespace {

constexpr std::size_t dimensions_max = 8;

base::error bad(const std::string& what) {
    return fail(errc::bad_state, "model.safetensors: " + what);
}

std::string joined(std::span<const std::uint64_t> values) {
    std::string text;
    for (const auto v : values) {
        if (!text.empty()) text += ',';
        text += std::to_string(v);
    }
    return text;
}

/// A JSON array of non-negative integers.
base::result<std::vector<std::uint64_t>> integers(const json::object& object, const char* key,
                                                  const std::string& name) {
    const auto* value = object.if_contains(key);
    if (value == nullptr || !value->is_array() || value->get_array().size() > dimensions_max) {
        return bad(name + ": \"" + key + "\" is not a short array of integers");
    }
    std::vector<std::uint64_t> out;
    for (const auto& v : value->get_array()) {
        if (v.is_uint64()) {
            out.push_back(v.get_uint64());
        } else if (v.is_int64() && v.get_int64() >= 0) {
            out.push_back(static_cast<std::uint64_t>(v.get_int64()));
        } else {
            return bad(name + ": \"" + key + "\" holds something else than integers");
        }
    }
    return out;
}

base::result<safetensors_entry> parse_entry(const std::string& name, const json::value& value,
                                            base::byte_view data) {
    if (!value.is_object()) return bad(name + ": not an object");
    const auto& object = value.get_object();
    const auto* type = object.if_contains("dtype");
    if (type == nullptr || !type->is_string()) return bad(name + ": no \"dtype\"");
    safetensors_entry entry;
    entry.type = std::string(type->get_string());
    if (entry.type != "F32") {
        return fail(errc::not_in_version, "model.safetensors: " + name + ": type \"" +
                                              entry.type.substr(0, 16) +
                                              "\" is not in this version (has: F32)");
    }
    TEQUIO_TRY(entry.shape, integers(object, "shape", name));
    TEQUIO_TRY(const auto offsets, integers(object, "data_offsets", name));
    if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data.size()) {
        return bad(name + ": \"data_offsets\" lie outside the file");
    }
    auto length = std::uint64_t{sizeof(float)};
    for (const auto n : entry.shape) length = saturating_product({length, n});
    if (offsets[1] - offsets[0] != length) return bad(name + ": length and shape do not agree");
    entry.bytes = data.subspan(offsets[0], length);
    return entry;
}

/// Every byte of `data` belongs to exactly one tensor.
base::result<void> check_cover(const std::map<std::string, safetensors_entry>& entries,
                               base::byte_view data) {
    std::vector<std::pair<base::byte_view, const std::string*>> runs;
    for (const auto& [name, entry] : entries) runs.emplace_back(entry.bytes, &name);
    std::sort(runs.begin(), runs.end(), [](const auto& a, const auto& b) {
        return std::pair(a.first.data(), a.first.size()) <
               std::pair(b.first.data(), b.first.size());
    });
    const auto* end = data.data();
    for (const auto& [run, name] : runs) {
        if (run.data() != end) return bad(*name + ": overlaps another tensor or leaves a hole");
        end = run.data() + run.size();
    }
    if (end != data.data() + data.size()) return bad("bytes behind the last tensor");
    return {};
}

}  // namespace

base::byte_vector write_safetensors(const state_layout& layout, std::span<const float> parameters) {
    base::ensure(parameters.size() == layout.padded_size, "parameters of this layout");
    std::string header = R"({"__metadata__":{"format":"pt"})";
    std::uint64_t offset = 0;
    for (const auto& t : layout.tensors) {
        const auto end = offset + t.size * sizeof(float);
        header.append(",\"").append(t.name).append(R"(":{"dtype":"F32","shape":[)");
        header.append(joined(t.shape)).append(R"(],"data_offsets":[)");
        header.append(std::to_string(offset)).append(",").append(std::to_string(end)).append("]}");
        offset = end;
    }
    header += "}";
    header.resize((header.size() + 7) / 8 * 8, ' ');
    base::byte_vector file;
    file.reserve(8 + header.size() + offset);
    base::byte_writer out(file);
    out.u64(header.size());
    out.raw(base::as_bytes(header));
    for (const auto& t : layout.tensors) {
        out.raw(float_bytes(parameters.subspan(t.offset, t.size)));
    }
    return file;
}

base::result<std::map<std::string, safetensors_entry>> parse_safetensors(base::byte_view file) {
    base::byte_reader in(file);
    const auto header_size = in.u64();
    if (in.failed() || header_size > safetensors_header_max_bytes ||
        header_size > file.size() - 8) {
        return bad("the header's length is not believable");
    }
    const auto header = base::as_text(in.raw(header_size));
    const auto data = file.subspan(8 + header_size);
    json::parse_options options;
    options.max_depth = 4;
    boost::system::error_code problem;
    const auto value = json::parse(header, problem, {}, options);
    if (problem || !value.is_object()) return bad("the header is not a JSON object");
    std::map<std::string, safetensors_entry> entries;
    for (const auto& member : value.get_object()) {
        if (member.key() == "__metadata__") continue;
        const std::string name(member.key());
        TEQUIO_TRY(auto entry, parse_entry(name, member.value(), data));
        entries.emplace(name, std::move(entry));
    }
    TEQUIO_CHECK(check_cover(entries, data));
    return entries;
}

}  // namespace tequio::training
