#pragma once

/// Signed records of nodes: bounded, newest sequence number wins, expired ones go. A new record is
/// refused when the book, or its group of addresses, is full.

#include <map>
#include <optional>
#include <set>

#include "base/rng.hpp"
#include "p2p/core/peer_record.hpp"
#include "p2p/network.hpp"

namespace tequio::p2p {

class address_book {
public:
    enum class outcome { added, renewed, known, refused, bad };

    address_book(const network_config& config, const base::node_id& self, base::rng rng);

    /// Takes a record in, if it is true and there is room.
    outcome add(base::byte_view record, base::unix_time now);
    void expire(base::unix_time now);

    /// Where a node says it is; nothing for nodes without a record.
    const std::vector<address>* addresses_of(const base::node_id& node) const;
    std::vector<base::node_id> nodes() const;
    std::size_t size() const { return records_.size(); }

    /// Up to `n` records, chosen by chance.
    std::vector<base::byte_vector> sample(std::size_t n);
    /// Records added or renewed since the last call, oldest first, at most `n`: to be passed on.
    std::vector<base::byte_vector> take_fresh(std::size_t n);
    bool has_fresh() const { return !fresh_.empty(); }

    /// Everything, for the disk: "TEQUIOPB", u32 format 1, u32 count, then u16 length and record.
    base::byte_vector encode() const;
    /// Takes back what `encode` gave; leaves out what is damaged or expired.
    void load(base::byte_view bytes, base::unix_time now);

    void check() const;

private:
    struct entry {
        peer_record record;
        base::byte_vector bytes;
        std::string netgroup;  ///< empty when exempt
    };
    using table = std::map<base::node_id, entry>;
    table::iterator drop(table::iterator at);

    network_config config_;
    base::node_id self_;
    base::rng rng_;
    table records_;
    std::map<std::string, std::size_t> per_netgroup_;
    std::set<base::node_id> fresh_;
};

}  // namespace tequio::p2p
