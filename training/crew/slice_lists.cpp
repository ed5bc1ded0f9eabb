#include "training/crew/slice_lists.hpp"

#include <algorithm>

#include "base/ensure.hpp"

namespace tequio::training::crew_protocol {

std::pair<base::byte_vector, base::blob_ref> slice_lists::own(std::uint64_t round,
                                                              const base::digest& mean,
                                                              model_slice slice,
                                                              tensor_list tensors) {
    base::byte_vector bytes;
    base::byte_writer w(bytes);
    for (const auto& t : tensors) w.raw(t.view());
    const auto ref = base::blob_ref_of(bytes);
    std::erase_if(own_, [&](const auto& l) { return l.round == round; });
    own_.push_back({round, mean, ref});
    std::sort(own_.begin(), own_.end(),
              [](const auto& a, const auto& b) { return a.round < b.round; });
    said_[{round, mean, slice.index}] = {ref};
    here_[ref] = {round, std::move(tensors)};
    return {std::move(bytes), ref};
}

const std::vector<base::blob_ref>* slice_lists::variants(const place& p) const {
    const auto it = said_.find(p);
    return it == said_.end() || it->second.empty() ? nullptr : &it->second;
}

void slice_lists::step(base::time_point now, std::uint64_t round, const base::digest& mean,
                       model_slice self, const roster& members, blob_desk& desk,
                       std::vector<crew_effect>& out) {
    std::map<base::blob_ref, std::vector<base::node_id>> holders;
    for (const auto& [node, m] : members.all()) {
        const auto& said = m.said.slices;
        if (!said || !said->seat || said->seat->count != self.count) continue;
        const bool own = said->seat->index == self.index;
        for (const auto& l : said->lists) {
            if (l.round != round || l.mean != mean) continue;
            auto& list = said_[{round, mean, said->seat->index}];
            const bool known = std::find(list.begin(), list.end(), l.list) != list.end();
            if (!known && list.size() == variants_max) continue;
            if (!known) list.push_back(l.list);
            if (!own && members.present(now, node)) holders[l.list].push_back(node);
        }
    }
    for (auto& [ref, nodes] : holders) {
        if (here_.contains(ref)) continue;
        wanted_[ref] = round;
        desk.want(now, {ref, std::move(nodes), round, true}, out);
    }
}

bool slice_lists::arrived(const base::blob_ref& ref, base::byte_view bytes, blob_desk& desk) {
    const auto it = wanted_.find(ref);
    if (it == wanted_.end() || bytes.size() % 32 != 0 || base::blob_ref_of(bytes) != ref) {
        return false;
    }
    tensor_list tensors(bytes.size() / 32);
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(32 * i), 32,
                    tensors[i].bytes.begin());
    }
    here_[ref] = {it->second, std::move(tensors)};
    desk.made(ref, it->second);  // so that it goes with its round
    wanted_.erase(it);
    return true;
}

/// Of what is said of a slice, what most say; the first of several.
slice_lists::favourite slice_lists::favourite_of(const place& p, const crew_at& crew) const {
    const auto* known = variants(p);
    if (known == nullptr) return {};
    const bool own = p.slice == crew.self.index;
    std::size_t holders = own ? 1 : 0;
    std::map<base::blob_ref, std::size_t> behind;
    if (own) behind[known->front()] = 1;
    for (const auto& [node, m] : crew.members.all()) {
        const auto& said = m.said.slices;
        if (!said || said->seat != model_slice{p.slice, crew.self.count}) continue;
        holders += m.said.able && crew.members.present(crew.now, node);
        for (const auto& l : said->lists) {
            if (l.round == p.round && l.mean == p.mean) ++behind[l.list];
        }
    }
    const base::blob_ref* best = nullptr;
    for (const auto& ref : *known) {
        if (best == nullptr || behind[ref] > behind[*best]) best = &ref;
    }
    return {best, 2 * behind[*best] > holders};
}

bool slice_lists::outvoted(std::uint64_t round, const base::digest& mean,
                           const crew_at& crew) const {
    const place own{round, mean, crew.self.index};
    const auto* known = variants(own);
    return known != nullptr && *favourite_of(own, crew).list != known->front();
}

std::optional<base::digest> slice_lists::composed(std::uint64_t round, const base::digest& mean,
                                                  const crew_at& crew, bool agreed,
                                                  const compose_function& compose) const {
    std::vector<tensor_list> lists;
    for (std::uint32_t slice = 0; slice < crew.self.count; ++slice) {
        const auto best = favourite_of({round, mean, slice}, crew);
        if (best.list == nullptr || (agreed && !best.agreed)) return std::nullopt;
        const auto it = here_.find(*best.list);
        // What others make of this node's own slice is not asked for.
        if (it == here_.end()) return std::nullopt;
        lists.push_back(it->second.second);
    }
    const auto state = compose(lists);
    if (!state) return std::nullopt;
    return *state;
}

bool slice_lists::prove(std::uint64_t round, const base::digest& mean, model_slice self,
                        const base::digest& state, const compose_function& compose) const {
    if (!complete(round, mean, self)) return false;
    std::vector<std::size_t> pick(self.count);
    for (int tries = 0; tries < proofs_max; ++tries) {
        std::vector<tensor_list> lists;
        for (std::uint32_t slice = 0; slice < self.count; ++slice) {
            const auto it = here_.find((*variants({round, mean, slice}))[pick[slice]]);
            if (it == here_.end()) break;
            lists.push_back(it->second.second);
        }
        if (lists.size() == self.count) {
            const auto found = compose(lists);
            if (found && *found == state) return true;
        }
        std::uint32_t next = 0;
        // Of the own slice only this node's own list.
        while (next < self.count &&
               (next == self.index || ++pick[next] == variants({round, mean, next})->size())) {
            pick[next++] = 0;
        }
        if (next == self.count) break;
    }
    return false;
}

bool slice_lists::complete(std::uint64_t round, const base::digest& mean, model_slice self) const {
    for (std::uint32_t slice = 0; slice < self.count; ++slice) {
        const auto* known = variants({round, mean, slice});
        if (known == nullptr || std::none_of(known->begin(), known->end(), [&](const auto& ref) {
                return here_.contains(ref);
            })) {
            return false;
        }
    }
    return true;
}

void slice_lists::forget_before(std::uint64_t round) {
    std::erase_if(own_, [&](const auto& l) { return l.round < round; });
    std::erase_if(said_, [&](const auto& s) { return s.first.round < round; });
    std::erase_if(here_, [&](const auto& h) { return h.second.first < round; });
    std::erase_if(wanted_, [&](const auto& w) { return w.second < round; });
}

void slice_lists::clear() {
    own_.clear();
    said_.clear();
    here_.clear();
    wanted_.clear();
}

void slice_lists::check() const {
    base::ensure(own_.size() <= slice_lists_max, "bounded lists");
    for (const auto& [where, list] : said_) {
        base::ensure(!list.empty() && list.size() <= variants_max, "bounded variants");
    }
}

}  // namespace tequio::training::crew_protocol
