#pragma once

#include <nats/nats.h>

#include <memory>

// Owners of nats.c's handles: one stateless deleter each.
namespace pgpulse::nats {

template <auto Destroy>
struct Deleter {
    template <typename T>
    void operator()(T* handle) const {
        Destroy(handle);
    }
};

using OptionsHandle = std::unique_ptr<natsOptions, Deleter<natsOptions_Destroy>>;
using ConnectionHandle = std::unique_ptr<natsConnection, Deleter<natsConnection_Destroy>>;
using SubscriptionHandle = std::unique_ptr<natsSubscription, Deleter<natsSubscription_Destroy>>;
using Message = std::unique_ptr<natsMsg, Deleter<natsMsg_Destroy>>;
using JetStreamHandle = std::unique_ptr<jsCtx, Deleter<jsCtx_Destroy>>;
using StreamInfoHandle = std::unique_ptr<jsStreamInfo, Deleter<jsStreamInfo_Destroy>>;
using ConsumerInfoHandle = std::unique_ptr<jsConsumerInfo, Deleter<jsConsumerInfo_Destroy>>;
using AccountInfoHandle = std::unique_ptr<jsAccountInfo, Deleter<jsAccountInfo_Destroy>>;
using MetaDataHandle = std::unique_ptr<jsMsgMetaData, Deleter<jsMsgMetaData_Destroy>>;
using KeyValueHandle = std::unique_ptr<kvStore, Deleter<kvStore_Destroy>>;

}  // namespace pgpulse::nats
