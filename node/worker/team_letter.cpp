#include "node/worker/team_letter.hpp"

#include "base/ensure.hpp"

namespace tequio::node {

team_letter::team_letter(const training::team_tag& tag, base::byte_vector inlined, unique_fd file,
                         memory_map map)
    : tag_(tag), inlined_(std::move(inlined)), file_(std::move(file)), map_(std::move(map)) {}

base::result<std::shared_ptr<const team_letter>> team_letter::make(const training::team_tag& tag,
                                                                   base::byte_view bytes) {
    unique_fd file;
    if (bytes.size() > team_inline_bytes_max) {
        TEQUIO_TRY(file, make_sealed_file("tequio-letter", bytes));
        return received(tag, bytes.size(), {}, std::move(file));
    }
    return received(tag, bytes.size(), {bytes.begin(), bytes.end()}, {});
}

base::result<std::shared_ptr<const team_letter>> team_letter::received(
    const training::team_tag& tag, std::uint64_t size, base::byte_vector inlined, unique_fd file) {
    memory_map map;
    if (size > team_inline_bytes_max) {
        base::ensure(static_cast<bool>(file) && inlined.empty(), "a long letter is a file");
        TEQUIO_CHECK(check_sealed_file(file.get(), size));
        TEQUIO_TRY(map, memory_map::of(file.get(), size, memory_map::access::read));
    } else {
        base::ensure(!file && inlined.size() == size, "a short letter is in its record");
    }
    return std::shared_ptr<const team_letter>(
        new team_letter(tag, std::move(inlined), std::move(file), std::move(map)));
}

}  // namespace tequio::node
