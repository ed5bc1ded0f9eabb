#include "training/crew/awaited_parts.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/ensure.hpp"

namespace tequio::training::crew_protocol {

std::size_t shard_set::next(std::size_t from) const {
    if (from >= size_max) return size_max;
    auto w = from / 64;
    auto word = words_[w] & (~std::uint64_t{0} << (from % 64));
    while (word == 0) {
        if (++w == words_.size()) return size_max;
        word = words_[w];
    }
    return 64 * w + static_cast<std::size_t>(std::countr_zero(word));
}

std::uint64_t awaited_parts::head_of(const base::blob_ref& blob) {
    std::uint64_t head = 0;
    std::memcpy(&head, blob.root.bytes.data(), sizeof head);
    return head;
}

template <class See>
void awaited_parts::each_of(const base::blob_ref& blob, See&& see) {
    std::vector<std::size_t> found;
    const auto head = head_of(blob);
    auto it = std::lower_bound(by_blob_.begin(), by_blob_.end(), named{head, 0});
    for (; it != by_blob_.end() && it->first == head; ++it) {
        if (parts_[it->second].blob == blob) found.push_back(it->second);
    }
    for (const auto i : found) see(i);
}

void awaited_parts::look(std::uint64_t round, const base::digest& inputs, const shard_book& shards,
                         const blob_desk& desk) {
    const auto shards_now = shards.changes();
    const auto desk_now = desk.changes(base::piece_run{});
    const bool same = begun_ && round == round_ && inputs == inputs_;
    if (same && shards_now == shards_seen_ && desk_now == desk_seen_) return;
    const auto& said = shards.recent();
    const auto& moved = desk.recent();
    if (same && said.reaches(shards_seen_) && moved.reaches(desk_seen_)) {
        said.each_after(shards_seen_, [&](std::size_t i) { refresh(i, shards, desk); });
        moved.each_after(desk_seen_, [&](const base::blob_ref& blob) {
            each_of(blob, [&](std::size_t i) { refresh(i, shards, desk); });
        });
    } else {
        begun_ = true;
        round_ = round;
        inputs_ = inputs;
        rebuild(shards, desk);
    }
    shards_seen_ = shards_now;
    desk_seen_ = desk_now;
}

void awaited_parts::rebuild(const shard_book& shards, const blob_desk& desk) {
    const auto count = shards.plan().size();
    base::ensure(count <= shard_set::size_max, "as many shards as a crew in groups has");
    parts_.assign(count, {});
    by_blob_.clear();
    unknown_ = count;
    coming_ = 0;
    due_.clear();
    roomless_.clear();
    later_.clear();
    failed_.clear();
    soonest_ = base::time_point::max();
    for (std::size_t i = 0; i < count; ++i) refresh(i, shards, desk);
}

/// What is known of a shard, or how its part stands, may be otherwise.
void awaited_parts::refresh(std::size_t i, const shard_book& shards, const blob_desk& desk) {
    auto& p = parts_[i];
    const auto* k = shards.resolved(shards.plan()[i].units, inputs_);
    if (p.known && (k == nullptr || k->said.blob != p.blob)) {
        by_blob_.erase(std::lower_bound(by_blob_.begin(), by_blob_.end(),
                                        named{head_of(p.blob), static_cast<std::uint32_t>(i)}));
        p.known = false;
        ++unknown_;
    }
    if (!p.known && k != nullptr) {
        p.known = true;
        p.blob = k->said.blob;
        const named name{head_of(p.blob), static_cast<std::uint32_t>(i)};
        by_blob_.insert(std::lower_bound(by_blob_.begin(), by_blob_.end(), name), name);
        --unknown_;
    }
    const auto look = p.known ? desk.look(p.blob) : blob_desk::standing{};
    const bool coming = p.known && !look.here;
    if (coming && !p.coming) ++coming_;
    if (!coming && p.coming) --coming_;
    p.coming = coming;
    due_.erase(i);
    roomless_.erase(i);
    later_.erase(i);
    if (coming) due_.insert(i);
    if (coming && look.failures > 0) {
        failed_.insert(i);
    } else {
        failed_.erase(i);
    }
}

bool awaited_parts::all_may_come(const blob_desk& desk, unsigned failures_max) const {
    return unknown_ == 0 && std::ranges::all_of(failed_, [&](std::size_t i) {
               return desk.failures(parts_[i].blob) < failures_max;
           });
}

void awaited_parts::told(const base::blob_ref& blob) {
    each_of(blob, [&](std::size_t i) {
        if (parts_[i].coming) due_.insert(i);
    });
}

void awaited_parts::under(const circumstances& now) {
    if (std::exchange(under_, now) == now) return;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
        if (parts_[i].coming) due_.insert(i);
    }
}

}  // namespace tequio::training::crew_protocol
