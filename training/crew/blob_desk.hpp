#pragma once

/// Which blobs this job wants, has, or failed to get. Repeats what failed, with rising pauses; asks
/// for a bounded number at a time.

#include <cstring>
#include <map>
#include <vector>

#include "base/blob.hpp"
#include "base/time.hpp"
#include "training/crew.hpp"

namespace tequio::training::crew_protocol {

class blob_desk {
public:
    explicit blob_desk(const crew_timings& timings) : timings_(timings) {}

    struct wish {
        base::blob_ref ref;
        std::vector<base::node_id> holders;
        std::uint64_t round = 0;  ///< forgotten with this round
        bool deliver = false;
        base::piece_run pieces = {};  ///< with pieces another wish than without
    };
    /// Sees to it that the blob comes; call it as often as you like. True when it is here (never
    /// with `deliver`, whose bytes are handed out once).
    bool want(base::time_point now, const wish& w, std::vector<crew_effect>& out);
    bool here(const base::blob_ref& ref, const base::piece_run& pieces = {}) const;
    /// Its fetch is under way.
    bool asked(const base::blob_ref& ref, const base::piece_run& pieces = {}) const;
    /// Fetches that failed in a row.
    unsigned failures(const base::blob_ref& ref, const base::piece_run& pieces = {}) const;
    std::size_t in_flight() const { return in_flight_; }
    /// True when another fetch may be begun.
    bool has_room() const { return in_flight_ < in_flight_max; }

    void arrived(const base::blob_ref& ref, const base::piece_run& pieces = {});
    void failed(base::time_point now, const base::blob_ref& ref,
                const base::piece_run& pieces = {});
    /// The worker made it.
    void made(const base::blob_ref& ref, std::uint64_t round);
    /// Lets go of one blob, and of all of the rounds before `round`.
    void drop(const base::blob_ref& ref, std::vector<crew_effect>& out);
    void drop_before(std::uint64_t round, std::vector<crew_effect>& out);
    /// Never drop this one: the means stay while the job does.
    void keep(const base::blob_ref& ref);
    void check() const;

private:
    static constexpr std::size_t in_flight_max = 256;
    struct entry {
        bool is_here = false;
        bool asked = false;
        bool deliver = false;
        bool kept = false;
        std::uint64_t round = 0;
        unsigned failures = 0;
        base::time_point next{};  ///< no new question before
        std::vector<base::node_id> holders;
    };
    /// A blob, or a run of its pieces.
    using place = std::pair<base::blob_ref, base::piece_run>;
    /// The order of `place`. Roots are hashes: their first 8 bytes nearly always decide, and every
    /// event looks up hundreds.
    struct by_root {
        bool operator()(const place& a, const place& b) const {
            const auto x = head(a), y = head(b);
            return x != y ? x < y : a < b;
        }
        static std::uint64_t head(const place& p) {
            std::uint64_t little = 0;
            std::memcpy(&little, p.first.root.bytes.data(), sizeof little);
            return __builtin_bswap64(little);
        }
    };
    const entry* find(const base::blob_ref& ref, const base::piece_run& pieces) const;
    void settle(entry& e);

    const crew_timings& timings_;
    std::map<place, entry, by_root> blobs_;
    std::size_t in_flight_ = 0;
};

}  // namespace tequio::training::crew_protocol
