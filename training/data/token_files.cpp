#include "training/data/token_files.hpp"

#include <string>

#include "training/errc.hpp"

namespace tequio::training {
namespace {

constexpr std::size_t header_bytes = 256 * 4;
constexpr std::uint32_t magic_gpt2 = 20240520;
constexpr std::uint32_t magic_llama3 = 20240801;
constexpr std::uint32_t magic_questions = 20240522;

std::uint32_t little_endian(const std::uint8_t* p, std::uint32_t width) {
    std::uint32_t value = 0;
    for (std::uint32_t i = 0; i < width; ++i) value |= std::uint32_t{p[i]} << (8 * i);
    return value;
}

base::error refused(const std::string& found, const std::string& allowed) {
    return fail(errc::bad_data, "found " + found + ", allowed: " + allowed);
}

}  // namespace

std::uint32_t token_file::at(std::uint64_t index) const {
    return little_endian(tokens.data() + index * token_bytes, token_bytes);
}

base::result<token_file> open_token_file(base::byte_view bytes) {
    const auto word = [&](std::size_t i) { return little_endian(bytes.data() + 4 * i, 4); };
    const auto magic = bytes.size() < 4 ? 0 : word(0);
    if (magic != magic_gpt2 && magic != magic_llama3 && magic != magic_questions) {
        if (bytes.empty() || bytes.size() % 2 != 0) {
            return refused(std::to_string(bytes.size()) + " bytes without a header of llm.c",
                           "tokens of two bytes each");
        }
        return token_file{bytes, 2};
    }
    if (magic == magic_questions) {
        return fail(errc::not_in_version,
                    "found multiple-choice questions of llm.c (20240522), allowed: tokens "
                    "(questions are not in this version)");
    }
    if (bytes.size() < header_bytes) {
        return refused(
            "the start of a header of llm.c and " + std::to_string(bytes.size()) + " bytes in all",
            "a header of 1024 bytes");
    }
    const std::uint32_t version = magic == magic_gpt2 ? 1 : 7;
    if (word(1) != version) {
        return refused(
            "version " + std::to_string(word(1)) + " of llm.c's format " + std::to_string(magic),
            "version " + std::to_string(version));
    }
    const std::uint32_t width = magic == magic_gpt2 ? 2 : 4;
    const auto rest = bytes.subspan(header_bytes);
    const std::uint64_t count = word(2);
    if (count == 0 || rest.size() != count * width) {
        return refused("a header that says " + std::to_string(count) + " tokens of " +
                           std::to_string(width) + " bytes before " + std::to_string(rest.size()) +
                           " bytes",
                       "as many as the header says, at least one");
    }
    return token_file{rest, width};
}

}  // namespace tequio::training
