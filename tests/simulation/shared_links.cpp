#include "tests/simulation/shared_links.hpp"

#include <algorithm>
#include <limits>

#include "base/ensure.hpp"

namespace tequio::simulation {
namespace {

/// What rounding to nanoseconds may leave of a transfer that has ended.
constexpr double rest_bytes = 1;

}  // namespace

void shared_links::add_node(link_rates rates) {
    base::ensure(rates.up > 0 && rates.down > 0, "links carry something");
    nodes_.push_back({rates});
    links_.resize(2 * nodes_.size());
}

void shared_links::set_rates(std::size_t node, link_rates rates) {
    base::ensure(rates.up > 0 && rates.down > 0, "links carry something");
    settle();
    nodes_[node].rates = rates;
    change_later();
}

shared_links::transfer_id shared_links::start(std::size_t to, double bytes,
                                              std::vector<link_holder> holders,
                                              std::function<void(double)> done) {
    base::ensure(!holders.empty(), "somebody has what is fetched");
    settle_if_exact();
    const auto id = next_++;
    transfers_.push_back({id, to, bytes, 0, {}, std::move(holders), std::move(done), true});
    if (++nodes_[to].downloads == 1 && on_downloads) on_downloads(to);
    change_later();
    return id;
}

shared_links::transfer* shared_links::find(transfer_id id) {
    const auto it = std::lower_bound(transfers_.begin(), transfers_.end(), id,
                                     [](const transfer& t, transfer_id i) { return t.id < i; });
    return it == transfers_.end() || it->id != id || it->over ? nullptr : &*it;
}

void shared_links::set_holders(transfer_id id, std::vector<link_holder> holders) {
    auto* t = find(id);
    if (t == nullptr || t->holders == holders) return;
    settle_if_exact();
    t->holders = std::move(holders);
    t->choose = true;
    change_later();
}

void shared_links::forget(transfer& t) {
    settle(t, seconds_of(time_.now() - settled_));
    clear_sources(t);
    t.over = true;
    t.done = nullptr;
    ++ended_;
    const auto to = t.to;
    if (--nodes_[to].downloads == 0 && on_downloads) on_downloads(to);
}

double shared_links::stop(transfer_id id) {
    auto* t = find(id);
    if (t == nullptr) return 0;
    settle_if_exact();
    forget(*t);
    change_later();
    return t->left;
}

void shared_links::leave(std::size_t gone) {
    settle_if_exact();
    for (std::size_t i = 0; i < transfers_.size(); ++i) {
        auto& t = transfers_[i];
        if (t.over) continue;
        if (t.to == gone) {
            forget(t);
        } else {
            const auto is_gone = [&](const link_holder& h) { return h.node == gone; };
            if (std::erase_if(t.holders, is_gone) > 0) t.choose = true;
        }
    }
    change_later();
}

void shared_links::settle() {
    const double passed = seconds_of(time_.now() - settled_);
    settled_ = time_.now();
    if (passed <= 0) return;
    for (auto& t : transfers_) settle(t, passed);
}

void shared_links::settle(transfer& t, double passed) {
    for (std::size_t i = 0; i < t.source_count; ++i) {
        const auto& s = t.sources[i];
        const double bytes = std::min(t.left, s.rate * passed);
        t.left -= bytes;
        nodes_[s.from].sent += bytes;
        nodes_[t.to].received += bytes;
    }
}

/// Rates are the same until the next sharing out, so nothing has to be brought up to date before;
/// where that is at once it is now. Rounding would otherwise be another one.
void shared_links::settle_if_exact() {
    if (stand_for_each == base::duration{}) settle();
}

/// Whatever changes at one instant is shared out once.
void shared_links::change_later() {
    if (std::exchange(change_due_, true)) return;
    time_.at(std::max(time_.now(), stands_until_), [this] {
        change_due_ = false;
        change();
    });
}

void shared_links::change() {
    settle();
    std::vector<std::pair<std::function<void(double)>, double>> ended;
    for (auto& t : transfers_) {
        if (t.over || (t.left > rest_bytes && !t.holders.empty())) continue;
        ended.emplace_back(std::move(t.done), t.left <= rest_bytes ? 0 : t.left);
        forget(t);
    }
    if (std::exchange(ended_, 0) > 0) {
        std::erase_if(transfers_, [](const transfer& t) { return t.over; });
    }
    for (auto& t : transfers_) {
        // With the holders it had it keeps the sources it has.
        if (std::exchange(t.choose, false)) choose_sources(t);
    }
    share();
    double soonest = std::numeric_limits<double>::infinity();
    for (const auto& t : transfers_) {
        double rate = 0;
        for (std::size_t i = 0; i < t.source_count; ++i) rate += t.sources[i].rate;
        soonest = std::min(soonest, t.left / rate);
    }
    stands_until_ = time_.now() + stand_for_each * streams_.size();
    const auto number = ++wake_;
    if (!transfers_.empty()) {
        const auto wait = std::chrono::duration<double>(soonest) + std::chrono::nanoseconds(1);
        const auto when = time_.now() + std::chrono::duration_cast<base::duration>(wait);
        time_.at(std::max(when, stands_until_), [this, number] {
            // What is due anyway is shared out once.
            const bool soon = change_due_ && stand_for_each > base::duration{};
            if (number == wake_ && !soon) change();
        });
    }
    for (const auto& [done, left] : ended) done(left);
}

void shared_links::clear_sources(transfer& t) {
    for (std::size_t i = 0; i < t.source_count; ++i) --nodes_[t.sources[i].from].uploads;
    t.source_count = 0;
}

/// Sources that still hold it stay; the least busy others join them.
void shared_links::choose_sources(transfer& t) {
    const auto sources_end = [&] {
        return t.sources.begin() + static_cast<std::ptrdiff_t>(t.source_count);
    };
    const auto left = std::remove_if(t.sources.begin(), sources_end(), [&](const source& s) {
        const bool holds = std::any_of(t.holders.begin(), t.holders.end(),
                                       [&](const link_holder& h) { return h.node == s.from; });
        if (holds) return false;
        --nodes_[s.from].uploads;
        return true;
    });
    t.source_count = static_cast<std::size_t>(left - t.sources.begin());
    while (t.source_count < std::min(t.holders.size(), sources_max)) {
        const link_holder* best = nullptr;
        for (const auto& h : t.holders) {
            const bool busier =
                best != nullptr && nodes_[h.node].uploads >= nodes_[best->node].uploads;
            if (busier) continue;
            const bool taken = std::any_of(t.sources.begin(), sources_end(),
                                           [&](const source& s) { return s.from == h.node; });
            if (!taken) best = &h;
        }
        if (best == nullptr) return;
        t.sources[t.source_count++] = {best->node, best->own, 0};
        ++nodes_[best->node].uploads;
    }
}

/// The streams that flow: all, or those whose turn it is at their uplinks.
void shared_links::open_streams(std::vector<std::size_t>& used) {
    streams_.clear();
    const auto open = [&](const transfer& t, source& s) {
        const auto up = static_cast<std::uint32_t>(2 * s.from);
        const auto down = static_cast<std::uint32_t>(2 * t.to + 1);
        for (const auto at : {up, down}) {
            auto& l = links_[at];
            if (l.open == 0) {
                used.push_back(at);
                l.streams.clear();
            }
            l.streams.push_back(static_cast<std::uint32_t>(streams_.size()));
            ++l.open;
        }
        streams_.push_back({&s, up, down, false});
    };
    for (const bool own : {true, false}) {
        for (auto& t : transfers_) {
            for (std::size_t i = 0; i < t.source_count; ++i) {
                auto& s = t.sources[i];
                if (turns > 0 && s.own != own) continue;
                s.rate = 0;
                if (turns == 0 || links_[2 * s.from].open < turns) open(t, s);
            }
        }
        if (turns == 0) return;
    }
}

/// Water filling: the link with the smallest share for each of its streams settles those, and so
/// on.
void shared_links::share() {
    std::vector<std::size_t> used;
    open_streams(used);
    std::sort(used.begin(), used.end());
    for (const auto at : used) {
        const auto& rates = nodes_[at / 2].rates;
        links_[at].left = at % 2 == 0 ? rates.up : rates.down;
    }
    while (!used.empty()) {
        link* tightest = nullptr;
        for (const auto at : used) {
            auto& l = links_[at];
            if (tightest == nullptr || l.left * static_cast<double>(tightest->open) <
                                           tightest->left * static_cast<double>(l.open)) {
                tightest = &l;
            }
        }
        const double rate = tightest->left / static_cast<double>(tightest->open);
        for (const auto number : tightest->streams) {
            auto& s = streams_[number];
            if (std::exchange(s.settled, true)) continue;
            s.of->rate = rate;
            for (const auto at : {s.up, s.down}) {
                auto& l = links_[at];
                l.left = std::max(0.0, l.left - rate);
                --l.open;
            }
        }
        std::erase_if(used, [this](std::size_t at) { return links_[at].open == 0; });
    }
}

}  // namespace tequio::simulation
