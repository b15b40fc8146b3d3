#include "bench/members.hpp"

#include "bench/arguments.hpp"
#include "bench/fleet.hpp"
#include "common/cluster/membership.hpp"
#include "common/contract/names.hpp"
#include "common/nats/bucket.hpp"

#include <chrono>

namespace pgpulse::bench {

Members::Members(const std::string& url, const std::vector<contract::Member>& members)
    : connection_(connect(url, "bench members")) {
    for (contract::Member member : members) {
        member.phase = contract::MemberPhase::serving;
        keys_.push_back({contract::member_key(member.kind, member.id), encode(member)});
    }
    nats::BucketConfig bucket;
    bucket.name = contract::kMembersBucket;
    bucket.ttl = cluster::Membership::kTtl;
    if (const auto made = nats::ensure_bucket(*connection_, bucket); !made) give_up(made.error().text);
    BucketFiller filler{*connection_, contract::kMembersBucket};
    for (const Key& key : keys_) filler.put(key.name, key.value);
    filler.finish();
    thread_ = std::thread{[this] { keep(); }};
}

Members::~Members() {
    {
        const std::lock_guard lock{mutex_};
        stop_ = true;
    }
    wake_.notify_one();
    thread_.join();
    for (const Key& key : keys_)
        static_cast<void>(nats::delete_unacknowledged(*connection_, contract::kMembersBucket, key.name));
    static_cast<void>(connection_->flush(std::chrono::seconds{2}));
}

void Members::keep() {
    std::unique_lock lock{mutex_};
    while (!wake_.wait_for(lock, cluster::Membership::kRefresh, [this] { return stop_; })) {
        for (const Key& key : keys_) {
            // One that is not stored shows: nobody counts its pings.
            static_cast<void>(
                nats::put_unacknowledged(*connection_, contract::kMembersBucket, key.name, key.value));
        }
    }
}

}  // namespace pgpulse::bench
