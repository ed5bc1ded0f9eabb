#include "base/merkle.hpp"

#include <bit>

#include "base/ensure.hpp"
#include "base/sha256.hpp"

namespace tequio::base {
namespace {

digest prefixed(std::uint8_t prefix, byte_view first, byte_view second) {
    return sha256_stream().add(byte_view(&prefix, 1)).add(first).add(second).finish();
}

std::uint64_t split_point(std::uint64_t n) {
    return std::bit_floor(n - 1);
}

}  // namespace

digest merkle_leaf(byte_view data) {
    return prefixed(0, data, {});
}

digest merkle_node(const digest& left, const digest& right) {
    return prefixed(1, left.view(), right.view());
}

digest merkle_root(std::span<const digest> leaves) {
    if (leaves.empty()) return sha256(byte_view{});
    if (leaves.size() == 1) return leaves[0];
    const auto k = split_point(leaves.size());
    return merkle_node(merkle_root(leaves.first(k)), merkle_root(leaves.subspan(k)));
}

std::vector<digest> merkle_path(std::span<const digest> leaves, std::uint64_t index) {
    ensure(index < leaves.size(), "leaf index within the tree");
    if (leaves.size() == 1) return {};
    const auto k = split_point(leaves.size());
    if (index < k) {
        auto path = merkle_path(leaves.first(k), index);
        path.push_back(merkle_root(leaves.subspan(k)));
        return path;
    }
    auto path = merkle_path(leaves.subspan(k), index - k);
    path.push_back(merkle_root(leaves.first(k)));
    return path;
}

bool merkle_path_verifies(const digest& root, const digest& leaf, std::uint64_t index,
                          std::uint64_t count, std::span<const digest> path) {
    if (index >= count) return false;
    std::uint64_t fn = index;
    std::uint64_t sn = count - 1;
    digest r = leaf;
    for (const auto& p : path) {
        if (sn == 0) return false;
        if ((fn & 1) != 0 || fn == sn) {
            r = merkle_node(p, r);
            while ((fn & 1) == 0 && fn != 0) fn >>= 1, sn >>= 1;
        } else {
            r = merkle_node(r, p);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && r == root;
}

}  // namespace tequio::base
