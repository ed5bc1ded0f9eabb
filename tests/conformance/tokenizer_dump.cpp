// tokenizer_dump TOKENIZER.json TEXT [TOKENS]: the tokens of a file, as little-endian uint32, for
// comparison with other implementations; decoding them must give the file again. Prints the time.

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "training/tokenizer.hpp"

using namespace tequio;

namespace {

base::byte_vector contents(const char* path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) return std::fprintf(stderr, "tokenizer_dump TOKENIZER.json TEXT [TOKENS]\n"), 2;
    const auto words = training::tokenizer::from_json(contents(argv[1]), argv[1]);
    if (!words) return std::fprintf(stderr, "%s\n", words.error().message().c_str()), 1;
    const auto text = contents(argv[2]);
    const auto start = std::chrono::steady_clock::now();
    const auto tokens = words->encode(text);
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    if (!tokens) return std::fprintf(stderr, "%s\n", tokens.error().message().c_str()), 1;
    std::printf("%zu bytes, %zu tokens, %.2f s\n", text.size(), tokens->size(), time.count());
    if (words->decode(*tokens) != text) return std::fprintf(stderr, "does not decode\n"), 1;
    if (argc == 3) return 0;
    base::byte_vector out;
    base::byte_writer writer(out);
    for (const auto token : *tokens) writer.u32(token);
    std::ofstream(argv[3], std::ios::binary)
        .write(reinterpret_cast<const char*>(out.data()), static_cast<std::streamsize>(out.size()));
    return 0;
}
