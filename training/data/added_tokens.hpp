#pragma once

/// Finds the added tokens that are cut out of text before it is split.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "training/data/bpe.hpp"

namespace tequio::training {

/// Tokens by their first byte, longest first.
class added_tokens {
public:
    /// Takes those of `all` that are not special and whose `normalized` is as given. Errors:
    /// `errc::bad_data` for too many or too long ones, or one that is given twice.
    static base::result<added_tokens> make(const std::vector<bpe_description::added_token>& all,
                                           bool normalized);
    bool empty() const { return tokens_.empty(); }

    struct place {
        std::size_t begin = 0;
        std::size_t end = 0;  ///< begin == end: there is none
        std::uint32_t token = 0;
    };
    /// The leftmost in `text` at or after byte `from`, of several the longest.
    place find(std::string_view text, std::size_t from) const;

private:
    struct token {
        std::string content;
        std::uint32_t id;
    };
    std::vector<token> tokens_;  ///< ascending by first byte, then descending by length
    std::array<std::uint32_t, 257> first_{};  ///< where those of each first byte begin
};

}  // namespace tequio::training
