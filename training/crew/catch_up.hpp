#pragma once

/// The chronicle as this node holds it, and what others say comes next. An entry is appended only
/// after this node applied its mean and arrived at the state it names (crew_rounds.cpp does that);
/// here are the texts, their names, and the candidates.

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "training/chronicle.hpp"
#include "training/crew/blob_desk.hpp"
#include "training/crew/roster.hpp"

namespace tequio::training::crew_protocol {

class catch_up {
public:
    /// What others say comes next, or later.
    struct candidate {
        base::blob_ref ref;
        std::set<base::node_id> from;
        std::optional<chronicle_entry> entry;
    };

    explicit catch_up(const job_shape& shape) : shape_(shape) {}

    std::uint64_t length() const { return entries_.size(); }
    bool complete() const { return length() == shape_.rounds + 1; }
    const std::vector<chronicle_entry>& entries() const { return entries_; }
    const base::blob_ref& entry_ref(std::uint64_t round) const { return refs_[round]; }
    /// The digest of S(length()); nothing before S(0) is known.
    const std::optional<base::digest>& state() const { return state_; }
    /// The digest of S(round), round <= length().
    base::digest state_at(std::uint64_t round) const;
    /// S(0), as this node's worker made it. False when the chronicle begins with another.
    bool set_initial(const base::digest& state);

    /// Whether `entry` may stand at its place: shape, size and neighbours.
    base::result<void> fits(const chronicle_entry& entry) const;
    /// Appends; ensures that it fits. Returns the entry's text, and its name as a blob.
    std::pair<base::byte_vector, base::blob_ref> append(const chronicle_entry& entry);

    /// A member holds, or claims, this text as entry `round`.
    void offer(std::uint64_t round, const base::blob_ref& ref, const base::node_id& from);
    /// Ask a member from here on when it has more; nothing while enough is known.
    std::optional<std::uint64_t> missing_from(std::uint64_t their_length) const;
    /// Fetches texts of candidates, and their means ahead of need. `next_in_parts`: but not the
    /// next entry's, which is put together here. `abroad`: members of other groups are asked too.
    void step(base::time_point now, const roster& members, blob_desk& desk, bool next_in_parts,
              bool abroad, std::vector<crew_effect>& out);
    /// The chain is to reach S(round) without the means on the way: entries are taken from further
    /// ahead than usual, means only from there on. 0: as usual again.
    void reach(std::uint64_t round);
    /// The candidates that lead on to S(round), in order, those that one of `preferred` named
    /// before others; as many as are here without a gap.
    std::vector<const candidate*> way_to(std::uint64_t round,
                                         const std::set<base::node_id>& preferred) const;
    /// Names the rounds before `round`: SHA-256 over the roots of their entries, those that are not
    /// in the chain as `way` has them. Ensures that the two are long enough. Cost: `round` roots.
    base::digest history(std::uint64_t round, const std::vector<const candidate*>& way = {}) const;
    /// A text arrived. Errors: `errc::bad_chronicle`; the candidate is then forgotten for good.
    base::result<void> arrived(const base::blob_ref& ref, base::byte_view text);

    /// The next entry, when its text is here and fits.
    const candidate* next() const;
    /// Somebody claims to know the next entry.
    bool expecting() const;
    /// Forgets candidates that start from another state than this node's; returns who had them.
    std::set<base::node_id> reject_misfits();
    /// This text is wrong: its mean does not lead where it says.
    void reject(const base::blob_ref& ref);
    void check() const;

private:
    static constexpr std::uint64_t ahead_max = 32;    ///< candidates' rounds kept
    static constexpr std::size_t candidates_max = 4;  ///< a round; more are refused
    static constexpr std::size_t rejected_max = 256;  ///< the oldest is forgotten
    bool is_rejected(const base::blob_ref& ref) const;
    /// Candidates' rounds are below this.
    std::uint64_t horizon() const { return std::max(length(), reach_) + ahead_max; }
    base::result<void> fits_shape(std::uint64_t round, const chronicle_entry& entry) const;

    job_shape shape_;
    std::vector<chronicle_entry> entries_;
    std::vector<base::blob_ref> refs_;
    std::optional<base::digest> state_;
    std::map<std::uint64_t, std::vector<candidate>> candidates_;
    std::deque<base::blob_ref> rejected_;
    std::uint64_t reach_ = 0;
};

}  // namespace tequio::training::crew_protocol
