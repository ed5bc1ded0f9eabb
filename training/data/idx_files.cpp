#include <algorithm>

#include "training/data/raw_examples.hpp"
#include "training/errc.hpp"
#include "training/round/lines.hpp"

namespace tequio::training {
namespace {

constexpr std::uint8_t unsigned_bytes = 0x08;

/// An idx file, looked at.
struct idx_file {
    std::string name;
    std::uint64_t count = 0;  ///< the first dimension
    std::uint64_t size = 1;   ///< product of the others
    bool labels = false;      ///< there are no others
    base::byte_view bytes;    ///< (count, size)
};

base::error refused_file(const std::string& name, const std::string& found,
                         const std::string& allowed) {
    return fail(errc::bad_data, name + ": found " + found + ", allowed: " + allowed);
}

std::string type_name(std::uint8_t type) {
    switch (type) {
        case 0x09:
            return "signed bytes";
        case 0x0b:
            return "shorts";
        case 0x0c:
            return "ints";
        case 0x0d:
            return "floats";
        case 0x0e:
            return "doubles";
        default:
            return "elements of type " + std::to_string(type);
    }
}

base::result<void> check_start(const source_file& file) {
    const auto b = file.bytes;
    const auto starts = [&](std::uint8_t first, std::uint8_t second) {
        return b.size() >= 2 && b[0] == first && b[1] == second;
    };
    if (starts(0x1f, 0x8b)) {
        return refused_file(
            file.name, "a gzip file",
            "an idx file; unpack it with `gunzip FILE.gz` and name what that leaves");
    }
    if (!starts(0, 0) || b.size() < 4) {
        return refused_file(file.name, "another start than two zero bytes, type and dimensions",
                            "an idx file, as MNIST's");
    }
    if (b[2] == unsigned_bytes) return {};
    return fail(errc::not_in_version, file.name + ": found " + type_name(b[2]) +
                                          ", allowed: unsigned bytes (" + type_name(b[2]) +
                                          " are not in this version)");
}

base::result<idx_file> open_idx(const source_file& file) {
    TEQUIO_CHECK(check_start(file));
    const auto b = file.bytes;
    const std::size_t dimensions = b[3];
    const std::size_t head = 4 + 4 * dimensions;
    if (dimensions == 0 || b.size() < head) {
        return refused_file(
            file.name,
            std::to_string(dimensions) + " dimensions in " + std::to_string(b.size()) + " bytes",
            "a header with the size of each dimension, at least one");
    }
    idx_file out{file.name, 0, 1, dimensions == 1, b.subspan(head)};
    for (std::size_t i = 0; i < dimensions; ++i) {
        const auto* p = b.data() + 4 + 4 * i;
        const auto n = std::uint64_t{p[0]} << 24 | std::uint64_t{p[1]} << 16 |
                       std::uint64_t{p[2]} << 8 | std::uint64_t{p[3]};
        if (i == 0) {
            out.count = n;
            continue;
        }
        // Both factors are below 2^33, so the product is compared before it can overflow.
        out.size *= n;
        if (out.size == 0 || out.size > example_limits::inputs) {
            return refused_file(file.name,
                                "examples of " + std::to_string(out.size) + " values or more",
                                "1 to " + std::to_string(example_limits::inputs));
        }
    }
    if (out.count == 0 || out.count > example_limits::examples ||
        out.count * out.size != out.bytes.size()) {
        return refused_file(file.name,
                            "a header that says " + std::to_string(out.count) + " times " +
                                std::to_string(out.size) + " bytes before " +
                                std::to_string(out.bytes.size()),
                            "as many as the header says, at least one");
    }
    return out;
}

base::result<void> add_pair(const idx_file& one, const idx_file& other, raw_examples& out) {
    if (one.labels == other.labels) {
        return refused_file(other.name,
                            one.labels ? "labels beside the labels of " + quoted(one.name)
                                       : "examples beside the examples of " + quoted(one.name),
                            "pairs of a file of examples and one of their labels, side by side");
    }
    const auto& examples = one.labels ? other : one;
    const auto& labels = one.labels ? one : other;
    if (examples.count != labels.count) {
        return refused_file(labels.name,
                            std::to_string(labels.count) + " labels for the " +
                                std::to_string(examples.count) + " examples of " +
                                quoted(examples.name),
                            "as many");
    }
    if (out.inputs != 0 && out.inputs != examples.size) {
        return refused_file(examples.name,
                            "examples of " + std::to_string(examples.size) + " values",
                            std::to_string(out.inputs) + ", as in the files before");
    }
    out.inputs = examples.size;
    out.values.insert(out.values.end(), examples.bytes.begin(), examples.bytes.end());
    out.labels.insert(out.labels.end(), labels.bytes.begin(), labels.bytes.end());
    return {};
}

}  // namespace

base::result<raw_examples> read_idx(std::span<const source_file> files) {
    if (files.size() % 2 != 0) {
        return fail(errc::bad_data, "data: found " + std::to_string(files.size()) +
                                        " idx files, allowed: pairs of a file of examples and one "
                                        "of their labels, side by side");
    }
    raw_examples out;
    out.value_bytes = 1;
    for (std::size_t i = 0; i < files.size(); i += 2) {
        TEQUIO_TRY(const auto one, open_idx(files[i]));
        TEQUIO_TRY(const auto other, open_idx(files[i + 1]));
        TEQUIO_CHECK(add_pair(one, other, out));
    }
    const auto largest = *std::max_element(out.labels.begin(), out.labels.end());
    for (std::uint32_t c = 0; c <= largest; ++c) out.class_names.push_back(std::to_string(c));
    return out;
}

}  // namespace tequio::training
