#pragma once

/// Which blobs this job wants, has, or failed to get. Repeats what failed, with rising pauses; asks
/// for a bounded number at a time.

#include <cstring>
#include <map>
#include <unordered_map>
#include <vector>

#include "base/blob.hpp"
#include "base/time.hpp"
#include "training/crew.hpp"
#include "training/crew/change_log.hpp"

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
    /// All of that at once.
    struct standing {
        bool here = false;
        bool asked = false;
        unsigned failures = 0;
        base::time_point next{};  ///< when to ask again; meaningful while nothing is asked
    };
    standing look(const base::blob_ref& ref, const base::piece_run& pieces = {}) const;
    /// Another number when something came, failed, was made or dropped. With `pieces`: of whole
    /// blobs, and of those pieces of any.
    std::uint64_t changes() const { return changes_; }
    std::uint64_t changes(const base::piece_run& pieces) const;
    /// Which whole blobs that was, by the first of those numbers.
    const change_log<base::blob_ref>& recent() const { return recent_; }
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
    /// A whole blob, and runs of its pieces: as many as anybody here asked for, one or two.
    using runs = std::vector<std::pair<base::piece_run, entry>>;
    /// Roots are hashes already: every event looks up hundreds. Nothing follows from the order.
    struct hash_of_root {
        std::size_t operator()(const base::blob_ref& ref) const {
            std::size_t head = 0;
            std::memcpy(&head, ref.root.bytes.data(), sizeof head);
            return head;
        }
    };
    const entry* find(const base::blob_ref& ref, const base::piece_run& pieces) const;
    entry* find(const base::blob_ref& ref, const base::piece_run& pieces);
    entry& at(const base::blob_ref& ref, const base::piece_run& pieces);
    void settle(entry& e, const base::blob_ref& ref, const base::piece_run& pieces);

    const crew_timings& timings_;
    std::unordered_map<base::blob_ref, runs, hash_of_root> blobs_;
    std::size_t in_flight_ = 0;
    std::uint64_t changes_ = 0, whole_changed_ = 0;
    change_log<base::blob_ref> recent_;
    std::map<base::piece_run, std::uint64_t> run_changed_;  ///< bounded by what rounds ask for
};

}  // namespace tequio::training::crew_protocol
