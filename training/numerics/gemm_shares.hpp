#pragma once

/// How the threads of a product share its pieces. Each has a range of its own, the same in every
/// product of a shape, so that what it wrote stays in its cache; who is done takes the last pieces
/// of the others. Every task of the executor takes one piece, whichever: an executor may run tasks
/// in any order, on fewer threads than it has.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "training/executor.hpp"

namespace tequio::training::numerics {

/// [begin, end) of something counted in units.
struct unit_range {
    std::size_t begin = 0, end = 0;
    std::size_t size() const { return end - begin; }
};

/// Cuts [0, units) into ranges, one a thread, and these into pieces: of `most` units, and with
/// several threads of about `least` in the last quarter of a range, so that all end together.
struct piece_cut {
    std::size_t units;
    unsigned threads;
    std::size_t most, least;

    unit_range range(unsigned thread) const {
        return {units * thread / threads, units * (thread + 1) / threads};
    }
    std::size_t count(unsigned thread) const {
        const unit_range r = range(thread);
        return large(r) + small(r);
    }
    std::size_t count() const {
        std::size_t all = 0;
        for (unsigned t = 0; t < threads; ++t) all += count(t);
        return all;
    }
    /// The i-th piece of a thread's range; empty from i = count(thread) on.
    unit_range piece(unsigned thread, std::size_t i) const {
        const unit_range r = range(thread);
        const std::size_t big = large(r);
        if (i < big) return {r.begin + i * most, r.begin + (i + 1) * most};
        const std::size_t first = r.begin + big * most;
        const std::size_t pieces = small(r);
        if (i - big >= pieces) return {r.end, r.end};
        const auto at = [&](std::size_t j) { return first + (r.end - first) * j / pieces; };
        return {at(i - big), at(i - big + 1)};
    }

private:
    std::size_t large(unit_range r) const {
        return threads == 1 ? r.size() / most : r.size() * 3 / 4 / most;
    }
    std::size_t small(unit_range r) const {
        const std::size_t step = threads == 1 ? most : least;
        return (r.size() - large(r) * most + step - 1) / step;
    }
};

/// What is left of a thread's pieces.
class alignas(64) thread_share {
public:
    /// Not while tasks run.
    void reset(std::size_t count) {
        left_.store(std::uint64_t{count} << 32, std::memory_order_relaxed);
        fresh_ = true;
    }
    /// The thread itself takes from the front, others from the back. False: there is none.
    bool take_first(std::size_t& piece) { return take(piece, true); }
    bool take_last(std::size_t& piece) { return take(piece, false); }
    /// True once after `reset`; asked by the thread itself.
    bool first_time() {
        const bool was = fresh_;
        fresh_ = false;
        return was;
    }

private:
    bool take(std::size_t& piece, bool front) {
        auto seen = left_.load(std::memory_order_relaxed);
        while (true) {
            const std::uint64_t next = seen & 0xffffffffU;
            const std::uint64_t end = seen >> 32;
            if (next >= end) return false;
            const std::uint64_t then = front ? (end << 32 | (next + 1)) : ((end - 1) << 32 | next);
            if (left_.compare_exchange_weak(seen, then, std::memory_order_relaxed)) {
                piece = front ? next : end - 1;
                return true;
            }
        }
    }

    std::atomic<std::uint64_t> left_{0};  ///< next piece in the low half, end in the high half
    bool fresh_ = false;
};

/// Floats of workspace that `piece_runner` needs for a thread.
inline constexpr std::size_t share_floats = sizeof(thread_share) / sizeof(float);

/// Below this many multiply-adds pieces are not worth handing to other threads.
inline constexpr std::size_t shared_work_least = std::size_t{1} << 19;

/// A thread's turn at a piece.
struct piece_turn {
    unit_range piece;
    unit_range next;  ///< what the thread probably gets next
    bool wraps;       ///< namely in the next section: the first of its range
    bool first;       ///< it is the thread's first piece in this section
    unsigned thread;
};

/// Runs the pieces of a product, one section after the other.
class piece_runner {
public:
    /// `room`: share_floats floats for each thread of `run`, 64-byte aligned.
    piece_runner(executor& run, float* room)
        : run_(run), shares_(new (room) thread_share[run.threads()]) {}

    unsigned threads() const { return run_.threads(); }

    /// Calls body(piece, what the same thread probably gets next (empty: nothing), thread, whether
    /// it is the thread's first) for all pieces of `units` units, each of `unit_work`
    /// multiply-adds.
    template <class Body>
    void each(std::size_t units, std::size_t most, std::size_t least, std::size_t unit_work,
              Body body) {
        if (units == 0) return;
        const bool alone = units * unit_work < shared_work_least;
        const piece_cut pieces{units, alone ? 1 : threads(), most, least};
        for (unsigned t = 0; t < pieces.threads; ++t) shares_[t].reset(pieces.count(t));
        const auto one = [&](std::size_t, unsigned thread) {
            std::size_t piece = 0;
            unsigned from = thread;
            bool got = shares_[from].take_first(piece);
            for (unsigned step = 1; !got && step < pieces.threads; ++step) {
                from = (thread + step) % pieces.threads;
                got = shares_[from].take_last(piece);
            }
            if (!got) return;
            const bool more = from == thread && piece + 1 < pieces.count(thread);
            body(piece_turn{.piece = pieces.piece(from, piece),
                            .next = pieces.piece(thread, more ? piece + 1 : 0),
                            .wraps = !more,
                            .first = shares_[thread].first_time(),
                            .thread = thread});
        };
        const std::size_t count = pieces.count();
        if (pieces.threads > 1) return run_.run(count, one);
        for (std::size_t i = 0; i < count; ++i) one(i, 0);
    }

private:
    executor& run_;
    thread_share* shares_;
};

}  // namespace tequio::training::numerics
